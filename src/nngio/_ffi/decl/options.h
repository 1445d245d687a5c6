// Declares <nng/supplemental/util/options.h>.

typedef struct nng_optspec {
    const char *o_name;
    int o_short;
    int o_val;
    bool o_arg;
} nng_optspec;

int nng_opts_parse(int, char *const *, const nng_optspec *, int *, char **, int *);
