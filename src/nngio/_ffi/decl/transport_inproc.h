// Declares <nng/transport/inproc/inproc.h>.

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_inproc_register(void); // absent: hidden in a shared library
