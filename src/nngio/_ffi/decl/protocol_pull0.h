// Declares <nng/protocol/pipeline0/pull.h>.

int nng_pull0_open(nng_socket *);
int nng_pull0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_pull_open(nng_socket *);
int nng_pull_open_raw(nng_socket *);
