// Declares <nng/supplemental/tls/tls.h>.

typedef struct nng_tls_config nng_tls_config;

typedef enum nng_tls_mode {
    NNG_TLS_MODE_CLIENT,
    NNG_TLS_MODE_SERVER,
    ...
} nng_tls_mode;

typedef enum nng_tls_auth_mode {
    NNG_TLS_AUTH_MODE_NONE,
    NNG_TLS_AUTH_MODE_OPTIONAL,
    NNG_TLS_AUTH_MODE_REQUIRED,
    ...
} nng_tls_auth_mode;

typedef enum nng_tls_version {
    NNG_TLS_1_0,
    NNG_TLS_1_1,
    NNG_TLS_1_2,
    NNG_TLS_1_3,
    ...
} nng_tls_version;

int nng_tls_config_alloc(nng_tls_config **, nng_tls_mode);
void nng_tls_config_hold(nng_tls_config *); // absent: needs TLS before 1.8.0
void nng_tls_config_free(nng_tls_config *);
int nng_tls_config_server_name(nng_tls_config *, const char *);
int nng_tls_config_ca_chain(nng_tls_config *, const char *, const char *);
int nng_tls_config_own_cert(nng_tls_config *, const char *, const char *, const char *);
int nng_tls_config_key(nng_tls_config *, const uint8_t *, size_t); // absent: NNG has only a stub, without TLS
int nng_tls_config_pass(nng_tls_config *, const char *); // absent: NNG has only a stub, without TLS
int nng_tls_config_auth_mode(nng_tls_config *, nng_tls_auth_mode);
int nng_tls_config_ca_file(nng_tls_config *, const char *);
int nng_tls_config_cert_key_file(nng_tls_config *, const char *, const char *);
int nng_tls_config_psk(nng_tls_config *, const char *, const uint8_t *,
                       size_t); // since 1.9.0, absent: needs TLS
int nng_tls_config_version(nng_tls_config *, nng_tls_version, nng_tls_version);
const char *nng_tls_engine_name(void);
const char *nng_tls_engine_description(void);
bool nng_tls_engine_fips_mode(void);
