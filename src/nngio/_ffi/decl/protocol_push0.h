// Declares <nng/protocol/pipeline0/push.h>.

int nng_push0_open(nng_socket *);
int nng_push0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_push_open(nng_socket *);
int nng_push_open_raw(nng_socket *);
