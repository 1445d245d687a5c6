// Declares <nng/protocol/bus0/bus.h>.

#define NNG_BUS0_SELF ... // since 1.6.0
#define NNG_BUS0_PEER ... // since 1.6.0
static const char *const NNG_BUS0_SELF_NAME; // since 1.6.0
static const char *const NNG_BUS0_PEER_NAME; // since 1.6.0

int nng_bus0_open(nng_socket *);
int nng_bus0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_bus_open(nng_socket *);
int nng_bus_open_raw(nng_socket *);
