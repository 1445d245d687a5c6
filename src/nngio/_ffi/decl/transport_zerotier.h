// Declares <nng/transport/zerotier/zerotier.h>.

static const char *const NNG_OPT_ZT_HOME;
static const char *const NNG_OPT_ZT_NWID;
static const char *const NNG_OPT_ZT_NODE;
static const char *const NNG_OPT_ZT_NETWORK_STATUS;
static const char *const NNG_OPT_ZT_NETWORK_NAME;
static const char *const NNG_OPT_ZT_PING_TIME;
static const char *const NNG_OPT_ZT_PING_TRIES;
static const char *const NNG_OPT_ZT_CONN_TIME;
static const char *const NNG_OPT_ZT_CONN_TRIES;
static const char *const NNG_OPT_ZT_MTU;
static const char *const NNG_OPT_ZT_ORBIT;
static const char *const NNG_OPT_ZT_DEORBIT;
static const char *const NNG_OPT_ZT_ADD_LOCAL_ADDR;
static const char *const NNG_OPT_ZT_CLEAR_LOCAL_ADDRS;

enum nng_zt_status {
    NNG_ZT_STATUS_UP,
    NNG_ZT_STATUS_CONFIG,
    NNG_ZT_STATUS_DENIED,
    NNG_ZT_STATUS_NOTFOUND,
    NNG_ZT_STATUS_ERROR,
    NNG_ZT_STATUS_OBSOLETE,
    NNG_ZT_STATUS_UNKNOWN,
    ...
};

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_zt_register(void); // absent: needs ZeroTier
