// Declares <nng/transport/tcp/tcp.h>.

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_tcp_register(void); // absent: hidden in a shared library
