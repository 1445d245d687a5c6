// Declares <nng/protocol/pair0/pair.h>.

int nng_pair0_open(nng_socket *);
int nng_pair0_open_raw(nng_socket *);
