// Declares <nng/transport/ipc/ipc.h>.

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_ipc_register(void);
