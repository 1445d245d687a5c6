// TLS configurations, for as long as Python has them.  Endpoints and connections hold references of their own.

#include "internal.h"

// Starts NNG, if need be.  NULL and a code in *error without memory, or without TLS in this build.
nng_tls_config *
nngio_tls_config_new(nng_tls_mode mode, int *error)
{
	nng_tls_config *config = NULL;

	if ((*error = nngio_init()) != 0 || (*error = nng_tls_config_alloc(&config, mode)) != 0) {
		return (NULL);
	}
	return (config);
}

// The destructor of the configuration's Python object.  In a forked child its lock may be held for ever.
void
nngio_tls_config_free(nng_tls_config *config)
{
	if (config != NULL && !nngio_forked()) {
		nng_tls_config_free(config);
	}
}
