// Declares <nng/protocol/pubsub0/pub.h>.

int nng_pub0_open(nng_socket *);
int nng_pub0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_pub_open(nng_socket *);
int nng_pub_open_raw(nng_socket *);
