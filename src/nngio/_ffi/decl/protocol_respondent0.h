// Declares <nng/protocol/survey0/respond.h>.

#define NNG_RESPONDENT0_SELF ...
#define NNG_RESPONDENT0_PEER ...
static const char *const NNG_RESPONDENT0_SELF_NAME;
static const char *const NNG_RESPONDENT0_PEER_NAME;

int nng_respondent0_open(nng_socket *);
int nng_respondent0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_respondent_open(nng_socket *);
int nng_respondent_open_raw(nng_socket *);
