// Declares <nng/supplemental/http/http.h>.

enum nng_http_status {
    NNG_HTTP_STATUS_CONTINUE,
    NNG_HTTP_STATUS_SWITCHING,
    NNG_HTTP_STATUS_PROCESSING,
    NNG_HTTP_STATUS_OK,
    NNG_HTTP_STATUS_CREATED,
    NNG_HTTP_STATUS_ACCEPTED,
    NNG_HTTP_STATUS_NOT_AUTHORITATIVE,
    NNG_HTTP_STATUS_NO_CONTENT,
    NNG_HTTP_STATUS_RESET_CONTENT,
    NNG_HTTP_STATUS_PARTIAL_CONTENT,
    NNG_HTTP_STATUS_MULTI_STATUS,
    NNG_HTTP_STATUS_ALREADY_REPORTED,
    NNG_HTTP_STATUS_IM_USED,
    NNG_HTTP_STATUS_MULTIPLE_CHOICES,
    NNG_HTTP_STATUS_STATUS_MOVED_PERMANENTLY,
    NNG_HTTP_STATUS_FOUND,
    NNG_HTTP_STATUS_SEE_OTHER,
    NNG_HTTP_STATUS_NOT_MODIFIED,
    NNG_HTTP_STATUS_USE_PROXY,
    NNG_HTTP_STATUS_TEMPORARY_REDIRECT,
    NNG_HTTP_STATUS_PERMANENT_REDIRECT,
    NNG_HTTP_STATUS_BAD_REQUEST,
    NNG_HTTP_STATUS_UNAUTHORIZED,
    NNG_HTTP_STATUS_PAYMENT_REQUIRED,
    NNG_HTTP_STATUS_FORBIDDEN,
    NNG_HTTP_STATUS_NOT_FOUND,
    NNG_HTTP_STATUS_METHOD_NOT_ALLOWED,
    NNG_HTTP_STATUS_NOT_ACCEPTABLE,
    NNG_HTTP_STATUS_PROXY_AUTH_REQUIRED,
    NNG_HTTP_STATUS_REQUEST_TIMEOUT,
    NNG_HTTP_STATUS_CONFLICT,
    NNG_HTTP_STATUS_GONE,
    NNG_HTTP_STATUS_LENGTH_REQUIRED,
    NNG_HTTP_STATUS_PRECONDITION_FAILED,
    NNG_HTTP_STATUS_PAYLOAD_TOO_LARGE,
    NNG_HTTP_STATUS_ENTITY_TOO_LONG,
    NNG_HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE,
    NNG_HTTP_STATUS_RANGE_NOT_SATISFIABLE,
    NNG_HTTP_STATUS_EXPECTATION_FAILED,
    NNG_HTTP_STATUS_TEAPOT,
    NNG_HTTP_STATUS_UNPROCESSABLE_ENTITY,
    NNG_HTTP_STATUS_LOCKED,
    NNG_HTTP_STATUS_FAILED_DEPENDENCY,
    NNG_HTTP_STATUS_UPGRADE_REQUIRED,
    NNG_HTTP_STATUS_PRECONDITION_REQUIRED,
    NNG_HTTP_STATUS_TOO_MANY_REQUESTS,
    NNG_HTTP_STATUS_HEADERS_TOO_LARGE,
    NNG_HTTP_STATUS_UNAVAIL_LEGAL_REASONS,
    NNG_HTTP_STATUS_INTERNAL_SERVER_ERROR,
    NNG_HTTP_STATUS_NOT_IMPLEMENTED,
    NNG_HTTP_STATUS_BAD_GATEWAY,
    NNG_HTTP_STATUS_SERVICE_UNAVAILABLE,
    NNG_HTTP_STATUS_GATEWAY_TIMEOUT,
    NNG_HTTP_STATUS_HTTP_VERSION_NOT_SUPP,
    NNG_HTTP_STATUS_VARIANT_ALSO_NEGOTIATES,
    NNG_HTTP_STATUS_INSUFFICIENT_STORAGE,
    NNG_HTTP_STATUS_LOOP_DETECTED,
    NNG_HTTP_STATUS_NOT_EXTENDED,
    NNG_HTTP_STATUS_NETWORK_AUTH_REQUIRED,
    ...
};

typedef struct nng_http_req nng_http_req;
typedef struct nng_http_res nng_http_res;
typedef struct nng_http_conn nng_http_conn;
typedef struct nng_http_client nng_http_client;
typedef struct nng_http_server nng_http_server;
typedef struct nng_http_handler nng_http_handler;

// Requests.

int nng_http_req_alloc(nng_http_req **, const nng_url *);
void nng_http_req_free(nng_http_req *);
const char *nng_http_req_get_method(nng_http_req *);
const char *nng_http_req_get_version(nng_http_req *);
const char *nng_http_req_get_uri(nng_http_req *);
int nng_http_req_set_header(nng_http_req *, const char *, const char *);
int nng_http_req_add_header(nng_http_req *, const char *, const char *);
int nng_http_req_del_header(nng_http_req *, const char *);
const char *nng_http_req_get_header(nng_http_req *, const char *);
int nng_http_req_set_method(nng_http_req *, const char *);
int nng_http_req_set_version(nng_http_req *, const char *);
int nng_http_req_set_uri(nng_http_req *, const char *);
int nng_http_req_set_data(nng_http_req *, const void *, size_t);
int nng_http_req_copy_data(nng_http_req *, const void *, size_t);
void nng_http_req_get_data(nng_http_req *, void **, size_t *);
void nng_http_req_reset(nng_http_req *);

// Responses.

int nng_http_res_alloc(nng_http_res **);
int nng_http_res_alloc_error(nng_http_res **, uint16_t);
void nng_http_res_free(nng_http_res *);
uint16_t nng_http_res_get_status(nng_http_res *);
int nng_http_res_set_status(nng_http_res *, uint16_t);
const char *nng_http_res_get_reason(nng_http_res *);
int nng_http_res_set_reason(nng_http_res *, const char *);
int nng_http_res_set_header(nng_http_res *, const char *, const char *);
int nng_http_res_add_header(nng_http_res *, const char *, const char *);
int nng_http_res_del_header(nng_http_res *, const char *);
const char *nng_http_res_get_header(nng_http_res *, const char *);
int nng_http_res_set_version(nng_http_res *, const char *);
const char *nng_http_res_get_version(nng_http_res *);
void nng_http_res_get_data(nng_http_res *, void **, size_t *);
int nng_http_res_set_data(nng_http_res *, const void *, size_t);
int nng_http_res_copy_data(nng_http_res *, const void *, size_t);
void nng_http_res_reset(nng_http_res *);

// Connections.

void nng_http_conn_close(nng_http_conn *);
void nng_http_conn_read(nng_http_conn *, nng_aio *);
void nng_http_conn_read_all(nng_http_conn *, nng_aio *);
void nng_http_conn_write(nng_http_conn *, nng_aio *);
void nng_http_conn_write_all(nng_http_conn *, nng_aio *);
void nng_http_conn_write_req(nng_http_conn *, nng_http_req *, nng_aio *);
void nng_http_conn_write_res(nng_http_conn *, nng_http_res *, nng_aio *);
void nng_http_conn_read_req(nng_http_conn *, nng_http_req *, nng_aio *);
void nng_http_conn_read_res(nng_http_conn *, nng_http_res *, nng_aio *);
void nng_http_conn_transact(nng_http_conn *, nng_http_req *, nng_http_res *, nng_aio *);
int nng_http_hijack(nng_http_conn *);

// Clients.

int nng_http_client_alloc(nng_http_client **, const nng_url *);
void nng_http_client_free(nng_http_client *);
int nng_http_client_set_tls(nng_http_client *, struct nng_tls_config *);
int nng_http_client_get_tls(nng_http_client *, struct nng_tls_config **);
void nng_http_client_connect(nng_http_client *, nng_aio *);
void nng_http_client_transact(nng_http_client *, nng_http_req *, nng_http_res *, nng_aio *);

// Servers.

int nng_http_server_hold(nng_http_server **, const nng_url *);
void nng_http_server_release(nng_http_server *);
int nng_http_server_start(nng_http_server *);
void nng_http_server_stop(nng_http_server *);
int nng_http_server_add_handler(nng_http_server *, nng_http_handler *);
int nng_http_server_del_handler(nng_http_server *, nng_http_handler *);
int nng_http_server_set_tls(nng_http_server *, struct nng_tls_config *);
int nng_http_server_get_tls(nng_http_server *, struct nng_tls_config **);
int nng_http_server_get_addr(nng_http_server *, nng_sockaddr *);
int nng_http_server_set_error_page(nng_http_server *, uint16_t, const char *);
int nng_http_server_set_error_file(nng_http_server *, uint16_t, const char *);
int nng_http_server_res_error(nng_http_server *, nng_http_res *);

// Handlers of a server.

int nng_http_handler_alloc(nng_http_handler **, const char *, void (*)(nng_aio *));
void nng_http_handler_free(nng_http_handler *);
int nng_http_handler_alloc_file(nng_http_handler **, const char *, const char *);
int nng_http_handler_alloc_static(nng_http_handler **, const char *, const void *, size_t, const char *);
int nng_http_handler_alloc_redirect(nng_http_handler **, const char *, uint16_t, const char *);
int nng_http_handler_alloc_directory(nng_http_handler **, const char *, const char *);
int nng_http_handler_set_method(nng_http_handler *, const char *);
int nng_http_handler_set_host(nng_http_handler *, const char *);
int nng_http_handler_collect_body(nng_http_handler *, bool, size_t);
int nng_http_handler_set_tree(nng_http_handler *);
int nng_http_handler_set_tree_exclusive(nng_http_handler *);
int nng_http_handler_set_data(nng_http_handler *, void *, void (*)(void *));
void *nng_http_handler_get_data(nng_http_handler *);
