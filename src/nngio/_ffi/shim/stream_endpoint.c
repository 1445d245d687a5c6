// Dialers and listeners of byte streams, and the options of all three.  See stream.c.

#include <string.h>

#include "stream.h"

static nngio_stream *
endpoint_new(enum stream_kind kind, const char *url, int *error)
{
	nngio_stream *s = NULL;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	if ((s = stream_new(kind)) == NULL) {
		*error = NNG_ENOMEM;
		return (NULL);
	}
	*error = kind == DIALER ? nng_stream_dialer_alloc((nng_stream_dialer **) &s->c, url) :
	                          nng_stream_listener_alloc((nng_stream_listener **) &s->c, url);
	if (*error != 0) {
		atomic_store(&s->closed, 2);
		stream_rele(s);
		return (NULL);
	}
	s->tls = strncmp(url, "tls", 3) == 0 || strncmp(url, "TLS", 3) == 0;
	s->ws  = strncmp(url, "ws", 2) == 0 || strncmp(url, "WS", 2) == 0;
	stream_list(s);
	return (s);
}

nngio_stream *
nngio_stream_dialer(const char *url, int *error)
{
	return (endpoint_new(DIALER, url, error));
}

nngio_stream *
nngio_stream_listener(const char *url, int *error)
{
	return (endpoint_new(LISTENER, url, error));
}

int
nngio_stream_listen(nngio_stream *s)
{
	int rv;

	if ((rv = stream_enter_call(s)) == 0) {
		rv = nng_stream_listener_listen(s->c);
		stream_leave(s);
	}
	return (rv);
}

// Options, whose size has to be exact.
int
nngio_stream_get(nngio_stream *s, const char *name, void *value, size_t *size)
{
	int rv;

	if ((rv = stream_enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_get(s->c, name, value, size);
		break;
	case LISTENER:
		rv = nng_stream_listener_get(s->c, name, value, size);
		break;
	default:
		rv = nng_stream_get(s->c, name, value, size);
		break;
	}
	stream_leave(s);
	return (rv);
}

// One that is text, to be freed with nng_strfree.
int
nngio_stream_get_string(nngio_stream *s, const char *name, char **value)
{
	int rv;

	if ((rv = stream_enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_get_string(s->c, name, value);
		break;
	case LISTENER:
		rv = nng_stream_listener_get_string(s->c, name, value);
		break;
	default:
		rv = nng_stream_get_string(s->c, name, value);
		break;
	}
	stream_leave(s);
	return (rv);
}

// Text is given with its NUL.
int
nngio_stream_set(nngio_stream *s, const char *name, const void *value, size_t size)
{
	int rv;

	if ((rv = stream_enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_set(s->c, name, value, size);
		break;
	case LISTENER:
		rv = nng_stream_listener_set(s->c, name, value, size);
		break;
	default:
		rv = nng_stream_set(s->c, name, value, size);
		break;
	}
	stream_leave(s);
	return (rv);
}
