// Declares <nng/transport/ws/websocket.h>.

static const char *const NNG_OPT_WSS_REQUEST_HEADERS;
static const char *const NNG_OPT_WSS_RESPONSE_HEADERS;

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_ws_register(void);
int nng_wss_register(void);
