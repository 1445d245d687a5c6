// What `asend` and `arecv` return: a coroutine of ours.  One of Python's would have a frame, made for each call and gone
// through at each step, that costs as much as all the rest of a call that ends at once.
//
// Nothing happens before its first step, which is its task's.  In a task of asyncio's the operation that is at hand runs
// the errand (futures.c); anywhere else, and for what isn't bytes, it is one of Python's that does, `_asend` or `_arecv`.
// Dropped in the middle, which is what an exception in the awaiting coroutine does, it closes that.

#include "python.h"

enum state {
	NEW,
	RUNNING,
	DONE,
};

typedef struct {
	PyObject_HEAD
	PyObject     *channel, *data; // data: NULL for a receive
	PyObject     *inner;          // what runs it
	nngio_handle *h;              // the channel's
	int           ms;
	char          kind, state;
	bool          stepping; // in a step, of this thread's or of another one's
} verb;

static PyTypeObject *verb_type;
static PyObject     *slow_names[RECEIVES + 1], *throw_name, *close_name;

static bool
is_errand(verb *v)
{
	return (PyType_IsSubtype(Py_TYPE(v->inner), future_type));
}

static void
finished(verb *v)
{
	v->state = DONE;
	Py_CLEAR(v->inner);
	Py_CLEAR(v->channel);
	Py_CLEAR(v->data);
}

static PyObject *
make_inner(verb *v)
{
	PyObject *errand = errand_new(v->channel, v->h, v->data, v->ms, v->kind), *ms, *slow;

	if (errand != NULL || PyErr_Occurred() || (ms = PyLong_FromLong(v->ms)) == NULL) {
		return (errand);
	}
	slow = v->data != NULL ? PyObject_CallMethodObjArgs(v->channel, slow_names[SENDS], v->data, ms, NULL)
	                       : PyObject_CallMethodObjArgs(v->channel, slow_names[RECEIVES], ms, NULL);
	Py_DECREF(ms);
	return (slow);
}

// Begins a step.  While what it runs is running, nobody else may have a step made, and not end it: as Python's own say.
static bool
steps(verb *v)
{
	if (v->stepping) {
		PyErr_SetString(PyExc_ValueError, "coroutine already executing");
		return (false);
	}
	Py_INCREF((PyObject *) v); // what it runs may drop it
	v->stepping = true;
	return (true);
}

static void
stepped(verb *v)
{
	v->stepping = false;
	Py_DECREF((PyObject *) v);
}

static PySendResult
verb_send(PyObject *self, PyObject *argument, PyObject **result)
{
	verb        *v = (verb *) self;
	PySendResult step;

	*result = NULL;
	if (v->state == DONE) {
		PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
		return (PYGEN_ERROR);
	}
	if (!steps(v)) {
		return (PYGEN_ERROR);
	}
	step = PYGEN_ERROR;
	if (v->state == NEW) {
		v->state = RUNNING;
		v->inner = make_inner(v);
	}
	if (v->inner != NULL) {
		step = is_errand(v) ? future_send(v->inner, argument, result) : PyIter_Send(v->inner, argument, result);
	}
	if (step != PYGEN_NEXT) {
		finished(v);
	}
	stepped(v);
	return (step);
}

static PyObject *
as_step(PySendResult step, PyObject *result)
{
	if (step == PYGEN_RETURN) {
		PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL); // `result` may be a tuple
		if (stop != NULL) {
			PyErr_SetObject(PyExc_StopIteration, stop);
			Py_DECREF(stop);
		}
		Py_CLEAR(result);
	}
	return (result);
}

static PyObject *
verb_next(PyObject *self)
{
	PyObject    *result;
	PySendResult step = verb_send(self, Py_None, &result);

	return (as_step(step, result));
}

static PyObject *
verb_send_value(PyObject *self, PyObject *argument)
{
	PyObject    *result;
	PySendResult step = verb_send(self, argument, &result);

	return (as_step(step, result));
}

static PyObject *
verb_throw(PyObject *self, PyObject *arguments)
{
	verb     *v = (verb *) self;
	PyObject *thrower, *result;

	if (v->state != RUNNING) {
		if (v->state == DONE) {
			PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
			return (NULL);
		}
		finished(v);
		return (raise_thrown(arguments));
	}
	if (!steps(v)) {
		return (NULL);
	}
	if (is_errand(v)) {
		result = future_throw(v->inner, arguments);
	} else if ((thrower = PyObject_GetAttr(v->inner, throw_name)) != NULL) {
		result = PyObject_CallObject(thrower, arguments);
		Py_DECREF(thrower);
	} else {
		result = NULL;
	}
	if (result == NULL) {
		finished(v);
	}
	stepped(v);
	return (result);
}

// Ends what runs it, if anything does.  -1 and an exception when that raised one.
static int
end(verb *v)
{
	PyObject *inner = v->inner, *done = NULL;

	v->inner = NULL;
	if (inner != NULL) {
		done = PyObject_CallMethodObjArgs(inner, close_name, NULL);
		Py_DECREF(inner);
		if (done == NULL) {
			finished(v);
			return (-1);
		}
		Py_DECREF(done);
	}
	finished(v);
	return (0);
}

// What it waits for in the end, be it through coroutines of Python's, is not what its task should wait for any more.
static void
forsake(verb *v)
{
	PyObject *awaited = v->inner, *next;

	Py_XINCREF(awaited);
	while (awaited != NULL && awaited != Py_None && !PyType_IsSubtype(Py_TYPE(awaited), future_type)) {
		if ((next = PyObject_GetAttrString(awaited, "cr_await")) == NULL) {
			PyErr_Clear(); // some other awaitable
		}
		Py_DECREF(awaited);
		awaited = next;
	}
	if (awaited != NULL && awaited != Py_None) {
		future_forsake(awaited);
	}
	Py_XDECREF(awaited);
}

static PyObject *
verb_close(PyObject *self, PyObject *none)
{
	verb *v = (verb *) self;
	int   rv;

	(void) none;
	if (!steps(v)) {
		return (NULL);
	}
	forsake(v);
	rv = end(v);
	stepped(v);
	if (rv != 0) {
		return (NULL);
	}
	Py_RETURN_NONE;
}

static PyObject *
verb_await(PyObject *self)
{
	if (((verb *) self)->state != NEW) {
		PyErr_SetString(PyExc_RuntimeError,
		    ((verb *) self)->state == DONE ? "cannot reuse already awaited coroutine" : "coroutine is being awaited already");
		return (NULL);
	}
	Py_INCREF(self);
	return (self);
}

static PyObject *
verb_name(PyObject *self, void *closure)
{
	verb       *v    = (verb *) self;
	const char *name = v->kind == SENDS ? "asend" : "arecv";
	PyObject   *type, *full;

	if (closure != NULL || v->channel == NULL) {
		return (PyUnicode_FromString(name));
	}
	if ((type = PyType_GetQualName(Py_TYPE(v->channel))) == NULL) {
		return (NULL);
	}
	full = PyUnicode_FromFormat("%U.%s", type, name);
	Py_DECREF(type);
	return (full);
}

static PyObject *
verb_repr(PyObject *self)
{
	PyObject *name = verb_name(self, NULL), *text;

	if (name == NULL) {
		return (NULL);
	}
	text = PyUnicode_FromFormat("<coroutine object %U at %p>", name, self);
	Py_DECREF(name);
	return (text);
}

static int
verb_traverse(PyObject *self, visitproc visit, void *arg)
{
	verb *v = (verb *) self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(v->channel);
	Py_VISIT(v->data);
	Py_VISIT(v->inner);
	return (0);
}

// With no exception lost and none left, whatever is going on.
static void
verb_finalize(PyObject *self)
{
	verb     *v = (verb *) self;
	PyObject *type, *value, *traceback, *name;

	if (v->state == DONE) {
		return;
	}
	PyErr_Fetch(&type, &value, &traceback);
	if (v->state == NEW) {
		name = verb_name(self, NULL);
		if (name == NULL || PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%U' was never awaited", name) != 0) {
			PyErr_WriteUnraisable(NULL);
		}
		Py_XDECREF(name);
	}
	if (end(v) != 0) {
		PyErr_WriteUnraisable(NULL);
	}
	PyErr_Restore(type, value, traceback);
}

static int
verb_clear(PyObject *self)
{
	verb_finalize(self);
	finished((verb *) self);
	return (0);
}

static void
verb_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	(void) verb_clear(self);
	((freefunc) PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyMethodDef verb_methods[] = {
	{ "send", verb_send_value, METH_O, "Take a step." },
	{ "throw", verb_throw, METH_VARARGS, "Raise an exception where it waits." },
	{ "close", verb_close, METH_NOARGS, "End it." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef verb_getset[] = {
	{ "__name__", verb_name, NULL, "The name of the verb.", slow_names },
	{ "__qualname__", verb_name, NULL, "The same with the class of the channel.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot verb_slots[] = {
	{ Py_tp_methods, verb_methods },
	{ Py_tp_getset, verb_getset },
	{ Py_tp_repr, verb_repr },
	{ Py_tp_traverse, verb_traverse },
	{ Py_tp_clear, verb_clear },
	{ Py_tp_finalize, verb_finalize }, // before the collector takes apart what it needs for that
	{ Py_tp_dealloc, verb_dealloc },
	{ Py_tp_iternext, verb_next },
	{ Py_tp_iter, PyObject_SelfIter },
	{ Py_am_await, verb_await },
	{ Py_am_send, verb_send },
	{ 0, NULL },
};
static PyType_Spec verb_spec = {
	.name      = "nngio._python.Coroutine",
	.basicsize = sizeof(verb),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots     = verb_slots,
};

static PyObject *
verb_new(PyObject *channel, PyObject *owner, PyObject *data, PyObject *number, enum errand kind)
{
	long          ms = PyLong_AsLong(number);
	nngio_handle *h;
	verb         *v;

	if ((ms == -1 && PyErr_Occurred()) || (h = owned_pointer(owner, OWN_HANDLE)) == NULL ||
	    (v = PyObject_GC_New(verb, verb_type)) == NULL) {
		return (NULL);
	}
	v->inner = NULL;
	v->h     = h; // the channel's owner keeps it
	v->ms    = (int) ms;
	v->kind  = (char) kind;
	v->state = NEW;
	v->stepping = false;
	Py_INCREF(v->channel = channel);
	Py_XINCREF(v->data = data);
	PyObject_GC_Track((PyObject *) v);
	return ((PyObject *) v);
}

static PyObject *
sending(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	(void) module;
	if (count != 4) {
		PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
		return (NULL);
	}
	return (verb_new(arguments[0], arguments[1], arguments[2], arguments[3], SENDS));
}

static PyObject *
receiving(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	(void) module;
	if (count != 3) {
		PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
		return (NULL);
	}
	return (verb_new(arguments[0], arguments[1], NULL, arguments[2], RECEIVES));
}

static PyMethodDef functions[] = {
	{ "sending", FAST(sending), METH_FASTCALL, "The coroutine of a send: (channel, its owner, data, ms)." },
	{ "receiving", FAST(receiving), METH_FASTCALL, "That of a receive: (channel, its owner, ms)." },
	{ NULL, NULL, 0, NULL },
};

int
add_coroutines(PyObject *module)
{
	if (throw_name == NULL) {
		slow_names[SENDS]    = PyUnicode_InternFromString("_asend");
		slow_names[RECEIVES] = PyUnicode_InternFromString("_arecv");
		throw_name           = PyUnicode_InternFromString("throw");
		close_name           = PyUnicode_InternFromString("close");
	}
	return (PyErr_Occurred() || PyModule_AddFunctions(module, functions) != 0
	        ? -1
	        : add_type(module, "Coroutine", &verb_type, &verb_spec, NULL));
}
