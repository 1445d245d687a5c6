// What only Python's own API can do: the module `nngio._python`, which is in the same file as `nngio._nng`.
//
// A function that is called through cffi has let go of the GIL.  To take it again would crash in a daemon thread
// that is late for the end of Python: only those who never let go of it can be sure that there is a Python.

#include "python.h"

// Owners.  What Python has of the shim's is a bare pointer, and an owner that frees it, which an attribute of the
// same object refers to.  cffi's own way, ffi.gc, would free it too early: the collector of cycles finalizes in
// any order, so a finalizer of somebody else's could use what is freed already.  An owner takes no part in
// cycles, so it goes with the last reference, when no finalizer is left to run.
//
// The owner of a box also is the buffer of its message's body, and so of each view that is made over it.

typedef struct {
	PyObject_HEAD
	void      *pointer;
	enum owned kind;
} owner;

static void
owner_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	owner        *o    = (owner *) self;

	switch (o->kind) {
	case OWN_BOX:
		nngio_box_free(o->pointer);
		break;
	case OWN_HANDLE:
		Py_BEGIN_ALLOW_THREADS nngio_handle_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	case OWN_WATCH:
		Py_BEGIN_ALLOW_THREADS nngio_watch_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	case OWN_ADMISSION:
		nngio_admission_free(o->pointer);
		break;
	case OWN_DEVICE:
		Py_BEGIN_ALLOW_THREADS nngio_device_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	case OWN_STREAM:
		Py_BEGIN_ALLOW_THREADS nngio_stream_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	case OWN_HTTP:
		Py_BEGIN_ALLOW_THREADS nngio_http_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	case OWN_HTTP_MESSAGE:
		nngio_http_message_free(o->pointer);
		break;
	case OWN_HTTP_SERVER:
		Py_BEGIN_ALLOW_THREADS nngio_http_server_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	default:
		Py_BEGIN_ALLOW_THREADS nngio_op_free(o->pointer);
		Py_END_ALLOW_THREADS break;
	}
	((freefunc) PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

// Counts the view before it looks for the message, as box_take does it the other way round: one of the two
// sees the other, if a thread makes a view while another sends.
static int
owner_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
	owner     *o   = (owner *) self;
	nngio_box *box = o->pointer;
	size_t     size;
	void      *body;

	if (o->kind == OWN_BOX && (body = nngio_box_view(box, &size)) != NULL) {
		if (PyBuffer_FillInfo(view, self, body, (Py_ssize_t) size, 0, flags) == 0) {
			return (0);
		}
		nngio_box_unview(box);
		return (-1);
	}
	view->obj = NULL;
	PyErr_SetString(PyExc_BufferError, "there is no message to be looked at");
	return (-1);
}

static void
owner_releasebuffer(PyObject *self, Py_buffer *view)
{
	nngio_box_unview(((owner *) self)->pointer);
}

static PyType_Slot owner_slots[] = {
	{ Py_tp_dealloc, owner_dealloc },
	{ Py_bf_getbuffer, owner_getbuffer },
	{ Py_bf_releasebuffer, owner_releasebuffer },
	{ 0, NULL },
};
static PyType_Spec owner_spec = {
	.name      = "nngio._python.Owner",
	.basicsize = sizeof(owner),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots     = owner_slots,
};

static PyTypeObject *owner_type;
static PyObject     *owner_name;

void *
owned_pointer(PyObject *object, enum owned kind)
{
	if (Py_TYPE(object) != owner_type || ((owner *) object)->kind != kind) {
		PyErr_SetString(PyExc_TypeError, "this owns something else");
		return (NULL);
	}
	return (((owner *) object)->pointer);
}

// Sets the attribute `_owner` of an object to an owner of the pointer.  On failure the pointer is the caller's.
static int
own(PyObject *object, void *pointer, enum owned kind)
{
	owner *o = PyObject_New(owner, owner_type);

	if (o == NULL) {
		return (-1);
	}
	o->pointer = NULL;
	o->kind    = OWN_BOX;
	if (PyObject_SetAttr(object, owner_name, (PyObject *) o) != 0) {
		Py_DECREF(o);
		return (-1);
	}
	o->pointer = pointer;
	o->kind    = kind;
	Py_DECREF(o);
	return (0);
}

static PyObject *
own_box(PyObject *module, PyObject *object)
{
	nngio_box *box = nngio_box_new();

	(void) module;
	if (box == NULL) {
		return (PyErr_NoMemory());
	}
	if (own(object, box, OWN_BOX) != 0) {
		nngio_box_free(box);
		return (NULL);
	}
	return (PyLong_FromVoidPtr(box));
}

static PyObject *
own_pointer(PyObject *arguments, enum owned kind)
{
	PyObject *object, *address;
	void     *pointer;

	if (!PyArg_UnpackTuple(arguments, "own", 2, 2, &object, &address) ||
	    ((pointer = PyLong_AsVoidPtr(address)) == NULL && PyErr_Occurred()) || own(object, pointer, kind) != 0) {
		return (NULL);
	}
	Py_RETURN_NONE;
}

static PyObject *
own_handle(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_HANDLE));
}

static PyObject *
own_operation(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_OPERATION));
}

static PyObject *
own_watch(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_WATCH));
}

static PyObject *
own_admission(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_ADMISSION));
}

static PyObject *
own_device(PyObject *module, PyObject *object)
{
	nngio_device *device = nngio_device_new();

	(void) module;
	if (device == NULL) {
		return (PyErr_NoMemory());
	}
	if (own(object, device, OWN_DEVICE) != 0) {
		nngio_device_free(device);
		return (NULL);
	}
	return (PyLong_FromVoidPtr(device));
}

static PyObject *
own_endpoint(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_STREAM));
}

// The same for a stream, which the operation that was given it keeps until it is over.
static PyObject *
own_stream(PyObject *module, PyObject *arguments)
{
	PyObject *object, *address;
	void     *pointer;

	(void) module;
	if (!PyArg_UnpackTuple(arguments, "own", 2, 2, &object, &address) ||
	    (pointer = PyLong_AsVoidPtr(address)) == NULL || own(object, pointer, OWN_STREAM) != 0) {
		return (NULL);
	}
	stream_hold(pointer);
	Py_RETURN_NONE;
}

// The same for a connection of HTTP's.
static PyObject *
own_http(PyObject *module, PyObject *arguments)
{
	PyObject *object, *address;
	void     *pointer;

	(void) module;
	if (!PyArg_UnpackTuple(arguments, "own", 2, 2, &object, &address) ||
	    (pointer = PyLong_AsVoidPtr(address)) == NULL || own(object, pointer, OWN_HTTP) != 0) {
		return (NULL);
	}
	http_hold(pointer);
	Py_RETURN_NONE;
}

// The same for a request or response that was received.
static PyObject *
own_http_message(PyObject *module, PyObject *arguments)
{
	PyObject *object, *address;
	void     *pointer;

	(void) module;
	if (!PyArg_UnpackTuple(arguments, "own", 2, 2, &object, &address) ||
	    (pointer = PyLong_AsVoidPtr(address)) == NULL || own(object, pointer, OWN_HTTP_MESSAGE) != 0) {
		return (NULL);
	}
	http_message_hold(pointer);
	Py_RETURN_NONE;
}

static PyObject *
own_http_server(PyObject *module, PyObject *arguments)
{
	(void) module;
	return (own_pointer(arguments, OWN_HTTP_SERVER));
}

// The bodies of a batch, as a list of bytes; the messages stay the operation's.
static PyObject *
batch_bytes(PyObject *module, PyObject *address)
{
	nngio_op *op = PyLong_AsVoidPtr(address);
	nng_msg **msgs;
	PyObject *list;
	int       n;

	(void) module;
	if (op == NULL) {
		return (NULL);
	}
	n = nngio_batch_count(op);
	if ((msgs = PyMem_Malloc((size_t) n * sizeof(*msgs))) == NULL) {
		return (PyErr_NoMemory());
	}
	nngio_batch_list(op, msgs);
	list = PyList_New(n);
	for (int i = 0; i < n && list != NULL; i++) {
		PyObject *bytes = PyBytes_FromStringAndSize(nng_msg_body(msgs[i]), (Py_ssize_t) nng_msg_len(msgs[i]));
		if (bytes != NULL) {
			PyList_SetItem(list, i, bytes);
		} else {
			Py_CLEAR(list);
		}
	}
	PyMem_Free(msgs);
	return (list);
}

// nngio_begin_send_many with those items of a list that are bytes, from `start` on up to the first that is
// something else, `max` at most; NNGIO_OTHER when that is the one at `start`.  Nobody else may have the list.
static PyObject *
send_bytes(PyObject *module, PyObject *arguments)
{
	PyObject   *op, *handle, *list;
	const void *data[NNGIO_BATCH];
	size_t      len[NNGIO_BATCH], bytes = 0;
	Py_ssize_t  start, size;
	int         n = 0, code = NNGIO_OTHER, max, ms;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "OOO!nii", &op, &handle, &PyList_Type, &list, &start, &max, &ms)) {
		return (NULL);
	}
	size = PyList_Size(list);
	for (; start < size && n < max && n < NNGIO_BATCH && bytes < NNGIO_BATCH_BYTES; start++, n++) {
		PyObject *item = PyList_GetItem(list, start);
		if (!PyBytes_CheckExact(item)) {
			break;
		}
		data[n] = PyBytes_AsString(item);
		len[n]  = (size_t) PyBytes_Size(item);
		bytes += len[n];
	}
	if (n != 0) {
		nngio_op     *o = PyLong_AsVoidPtr(op);
		nngio_handle *h = PyLong_AsVoidPtr(handle);
		Py_BEGIN_ALLOW_THREADS code = nngio_begin_send_many(o, h, data, len, n, ms);
		Py_END_ALLOW_THREADS
	}
	return (PyLong_FromLong(code));
}

static int
call(void *function)
{
	PyObject *result = PyObject_CallObject(function, NULL);

	Py_DECREF((PyObject *) function);
	Py_XDECREF(result);
	return (result != NULL ? 0 : -1);
}

static PyObject *
call_in_main_thread(PyObject *module, PyObject *function)
{
	(void) module;
	Py_INCREF(function);
	if (Py_AddPendingCall(call, function) != 0) {
		Py_DECREF(function);
		Py_RETURN_FALSE;
	}
	Py_RETURN_TRUE;
}

// The hook that `insist` returns.  It is no function of Python's: in that, the call would be made before it returns.
static PyObject *
dropped(PyObject *self, PyObject *unraisable)
{
	PyObject *error = PyTuple_GetItem(self, 0), *function = PyTuple_GetItem(self, 1), *before = PyTuple_GetItem(self, 2), *now, *value;

	if (error == NULL || function == NULL || before == NULL || (value = PyObject_GetAttrString(unraisable, "exc_value")) == NULL) {
		return (NULL);
	}
	Py_DECREF(value);
	if (value != error) {
		return (PyObject_CallFunctionObjArgs(before, unraisable, NULL));
	}
	now = PySys_GetObject("unraisablehook");
	if (now != NULL && PyCFunction_Check(now) && PyCFunction_GetSelf(now) == self && PySys_SetObject("unraisablehook", before) != 0) {
		return (NULL);
	}
	return (call_in_main_thread(NULL, function));
}

static PyObject *
insist(PyObject *module, PyObject *arguments)
{
	static PyMethodDef hook = { "dropped", dropped, METH_O, NULL };

	(void) module;
	if (PyTuple_Size(arguments) != 3) {
		PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
		return (NULL);
	}
	return (PyCFunction_New(&hook, arguments));
}

static PyObject *
report_unraisable(PyObject *module, PyObject *arguments)
{
	PyObject *exception, *source;

	(void) module;
	if (!PyArg_UnpackTuple(arguments, "report_unraisable", 2, 2, &exception, &source)) {
		return (NULL);
	}
	PyErr_SetObject((PyObject *) Py_TYPE(exception), exception);
	PyErr_WriteUnraisable(source);
	Py_RETURN_NONE;
}

int
add_type(PyObject *module, const char *name, PyTypeObject **type, PyType_Spec *spec, PyTypeObject *base)
{
	if (*type == NULL) {
		*type = (PyTypeObject *) PyType_FromSpecWithBases(spec, (PyObject *) base);
	}
	return (*type == NULL ? -1 : PyModule_AddObjectRef(module, name, (PyObject *) *type));
}

static PyMethodDef functions[] = {
	{ "own_box", own_box, METH_O, "Make a box, which the object's attribute `_owner` owns; return its address." },
	{ "own_handle", own_handle, METH_VARARGS, "Let the object's attribute `_owner` own the handle at an address." },
	{ "own_operation", own_operation, METH_VARARGS, "Let the object's attribute `_owner` own the operation at an address." },
	{ "own_watch", own_watch, METH_VARARGS, "Let the object's attribute `_owner` own the watch at an address." },
	{ "own_admission", own_admission, METH_VARARGS, "Let the object's attribute `_owner` own the rules at an address." },
	{ "own_device", own_device, METH_O, "Make a device, which the object's attribute `_owner` owns; return its address." },
	{ "own_endpoint", own_endpoint, METH_VARARGS,
	    "Let the object's attribute `_owner` own the dialer or listener of byte streams at an address." },
	{ "own_stream", own_stream, METH_VARARGS,
	    "Let the object's attribute `_owner` own the stream at an address too." },
	{ "own_http", own_http, METH_VARARGS, "Let the object's attribute `_owner` own the connection of HTTP's at an address too." },
	{ "own_http_message", own_http_message, METH_VARARGS,
	    "Let the object's attribute `_owner` own the request or response at an address too." },
	{ "own_http_server", own_http_server, METH_VARARGS,
	    "Let the object's attribute `_owner` own the HTTP server at an address." },
	{ "batch_bytes", batch_bytes, METH_O, "The bodies of the messages of an operation's batch." },
	{ "send_bytes", send_bytes, METH_VARARGS,
	    "Send items of a list, from an index on, so many at most; return a code. The operation's `count` is the number of those sent." },
	{ "call_in_main_thread", call_in_main_thread, METH_O,
	    "Call a function in the main thread as soon as that runs Python code; what it raises is raised there.\n\n"
	    "False when too many such calls are waiting." },
	{ "insist", insist, METH_VARARGS,
	    "A hook for what can't be raised: (exception, function, the hook before).\n\n"
	    "When it is given that exception it sees to it that the main thread calls the function, and makes the other the hook again." },
	{ "report_unraisable", report_unraisable, METH_VARARGS,
	    "Hand an exception that nobody can catch to sys.unraisablehook, and the object that raised it.\n\n"
	    "A hook that fails is reported too, and nothing is raised here." },
	{ NULL, NULL, 0, NULL },
};

// When Python has ended, no thread runs Python code any more, or ever will: nngio_end is called then.  If there
// is no room for it, sockets are left to the system.
static int
execute(PyObject *module)
{
	if (owner_type == NULL) {
		owner_type = (PyTypeObject *) PyType_FromSpec(&owner_spec);
		owner_name = PyUnicode_InternFromString("_owner");
		(void) Py_AtExit(nngio_end);
	}
	if (owner_type == NULL || owner_name == NULL) {
		return (-1);
	}
	return (add_verbs(module) != 0 || add_operations(module) != 0 || add_coroutines(module) != 0 || add_turns(module) != 0 ? -1 : 0);
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, execute }, { 0, NULL } };
static PyModuleDef      definition = {
	PyModuleDef_HEAD_INIT,
	.m_name    = "nngio._python",
	.m_doc     = "What only Python's own API can do.",
	.m_methods = functions,
	.m_slots   = slots,
};

PyMODINIT_FUNC
PyInit__python(void)
{
	return (PyModuleDef_Init(&definition));
}
