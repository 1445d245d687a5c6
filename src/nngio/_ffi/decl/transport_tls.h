// Declares <nng/transport/tls/tls.h>.

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_tls_register(void);
