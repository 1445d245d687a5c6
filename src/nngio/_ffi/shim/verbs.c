// The part of a verb that each message pays for, in Python's own API: the module `nngio._python` has it.
//
// What a verb calls here keeps the GIL: beginning an operation waits for nobody, and to let go of the GIL for it
// would cost as much again, and hand it to another thread at every message.  It is let go where a thread waits,
// and to copy what is long.
//
// Rules that the Python half follows.  Python runs signal handlers after each call, so no call may hand over the
// only copy of anything: a message stays in its operation until the store of `over`, which is no call.  An
// operation that is dropped before that gives back what it has.

#include "python.h"

#define SLICE_MS 50
#define LONG_BODY 65536

static PyTypeObject *slot_type;
static unsigned long main_thread;

static nngio_op *
op_of(PyObject *object)
{
	if (Py_TYPE(object) == slot_type || PyType_IsSubtype(Py_TYPE(object), operation_type)) {
		return (((slot *) object)->op);
	}
	PyErr_SetString(PyExc_TypeError, "this is no operation");
	return (NULL);
}

static bool
fetch(PyObject *const *arguments, Py_ssize_t count, Py_ssize_t wanted, nngio_op **op, nngio_handle **h, int *ms)
{
	long number;

	if (count != wanted) {
		PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
		return (false);
	}
	if ((*op = op_of(arguments[0])) == NULL || (*h = owned_pointer(arguments[1], OWN_HANDLE)) == NULL) {
		return (false);
	}
	number = PyLong_AsLong(arguments[wanted - 1]);
	*ms    = (int) number;
	return (number != -1 || !PyErr_Occurred());
}

static int
wait_without_gil(nngio_op *op)
{
	int code;

	Py_BEGIN_ALLOW_THREADS code = nngio_wait(op);
	Py_END_ALLOW_THREADS return (code);
}

int
begin_send_bytes(nngio_op *op, nngio_handle *h, PyObject *data, int ms)
{
	char      *body;
	Py_ssize_t size;
	int        code;

	if (PyBytes_AsStringAndSize(data, &body, &size) != 0) {
		return (-1);
	}
	if (size < LONG_BODY) {
		return (nngio_begin_send(op, h, body, (size_t) size, ms));
	}
	Py_BEGIN_ALLOW_THREADS code = nngio_begin_send(op, h, body, (size_t) size, ms);
	Py_END_ALLOW_THREADS return (code);
}

static PyObject *
as_code(int code)
{
	return (PyErr_Occurred() ? NULL : PyLong_FromLong(code));
}

static PyObject *
begin_send(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	int           ms;

	(void) module;
	if (!fetch(arguments, count, 4, &op, &h, &ms)) {
		return (NULL);
	}
	return (as_code(begin_send_bytes(op, h, arguments[2], ms)));
}

static PyObject *
send_now(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	int           ms, code;

	(void) module;
	if (!fetch(arguments, count, 4, &op, &h, &ms)) {
		return (NULL);
	}
	if ((code = begin_send_bytes(op, h, arguments[2], ms)) == NNGIO_PENDING) {
		code = wait_without_gil(op);
	}
	return (as_code(code));
}

static PyObject *
begin_send_box(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	nngio_box    *box;
	int           ms;

	(void) module;
	if (!fetch(arguments, count, 4, &op, &h, &ms) || (box = owned_pointer(arguments[2], OWN_BOX)) == NULL) {
		return (NULL);
	}
	return (PyLong_FromLong(nngio_begin_send_box(op, h, box, ms)));
}

static PyObject *
send_box(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	nngio_box    *box;
	int           ms, code;

	(void) module;
	if (!fetch(arguments, count, 4, &op, &h, &ms) || (box = owned_pointer(arguments[2], OWN_BOX)) == NULL) {
		return (NULL);
	}
	if ((code = nngio_begin_send_box(op, h, box, ms)) == NNGIO_PENDING) {
		code = wait_without_gil(op);
	}
	return (PyLong_FromLong(code));
}

static PyObject *
begin_recv(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	int           ms;

	(void) module;
	if (!fetch(arguments, count, 3, &op, &h, &ms)) {
		return (NULL);
	}
	return (PyLong_FromLong(nngio_begin_recv(op, h, ms)));
}

static PyObject *
recv_now(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
	nngio_op     *op;
	nngio_handle *h;
	int           ms, code;

	(void) module;
	if (!fetch(arguments, count, 3, &op, &h, &ms)) {
		return (NULL);
	}
	if ((code = nngio_begin_recv(op, h, ms)) == NNGIO_PENDING) {
		code = wait_without_gil(op);
	}
	return (PyLong_FromLong(code));
}

static PyObject *
wait_for(PyObject *module, PyObject *object)
{
	nngio_op *op = op_of(object);

	(void) module;
	return (op == NULL ? NULL : PyLong_FromLong(wait_without_gil(op)));
}

static PyObject *
result(PyObject *module, PyObject *object)
{
	nngio_op *op = op_of(object);

	(void) module;
	return (op == NULL ? NULL : PyLong_FromLong(op->result));
}

PyObject *
body_of(nngio_op *op)
{
	PyObject *bytes;

	if (op->len < LONG_BODY) {
		return (PyBytes_FromStringAndSize(op->body, (Py_ssize_t) op->len));
	}
	if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t) op->len)) != NULL) {
		char *to = PyBytes_AsString(bytes);
		Py_BEGIN_ALLOW_THREADS memcpy(to, op->body, op->len);
		Py_END_ALLOW_THREADS
	}
	return (bytes);
}

static PyObject *
body(PyObject *module, PyObject *object)
{
	nngio_op *op = op_of(object);

	(void) module;
	return (op == NULL ? NULL : body_of(op));
}

static PyObject *
leave(PyObject *module, PyObject *object)
{
	nngio_op *op = op_of(object);

	(void) module;
	if (op == NULL) {
		return (NULL);
	}
	Py_BEGIN_ALLOW_THREADS nngio_leave(op, NULL);
	Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

// Slots.

static PyObject *
new_slot(PyObject *module, PyObject *none)
{
	slot *s = PyObject_New(slot, slot_type);

	(void) module, (void) none;
	if (s != NULL && (s->op = nngio_op_new(PyThread_get_thread_ident() == main_thread ? SLICE_MS : -1)) == NULL) {
		Py_DECREF(s);
		Py_RETURN_NONE; // a forked process, or no memory
	}
	return ((PyObject *) s);
}

static void
slot_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	nngio_op     *op   = ((slot *) self)->op;

	if (op != NULL && op->kind == NNGIO_NONE) {
		nngio_op_free(op);
	} else if (op != NULL) {
		Py_BEGIN_ALLOW_THREADS nngio_op_free(op);
		Py_END_ALLOW_THREADS
	}
	((freefunc) PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyObject *
get_address(PyObject *self, void *closure)
{
	(void) closure;
	return (PyLong_FromVoidPtr(((slot *) self)->op));
}

// The caller has what the operation had.
static int
slot_over(PyObject *self, PyObject *value, void *closure)
{
	(void) value, (void) closure;
	((slot *) self)->op->kind = NNGIO_NONE;
	return (0);
}

static PyGetSetDef slot_getset[] = {
	{ "address", get_address, NULL, "Where C has it.", NULL },
	{ "over", NULL, slot_over, "To be set when the caller has what the operation had.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slot_slots[] = {
	{ Py_tp_dealloc, slot_dealloc },
	{ Py_tp_getset, slot_getset },
	{ 0, NULL },
};
static PyType_Spec slot_spec = {
	.name      = "nngio._python.Slot",
	.basicsize = sizeof(slot),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots     = slot_slots,
};

static PyObject *
set_main_thread(PyObject *module, PyObject *ident)
{
	(void) module;
	main_thread = PyLong_AsUnsignedLong(ident);
	return (PyErr_Occurred() ? NULL : (Py_INCREF(Py_None), Py_None));
}

static PyMethodDef functions[] = {
	{ "begin_send", FAST(begin_send), METH_FASTCALL, "nngio_begin_send(operation, handle's owner, bytes, ms)" },
	{ "begin_send_box", FAST(begin_send_box), METH_FASTCALL, "nngio_begin_send_box(operation, handle's owner, box's owner, ms)" },
	{ "begin_recv", FAST(begin_recv), METH_FASTCALL, "nngio_begin_recv(operation, handle's owner, ms)" },
	{ "send", FAST(send_now), METH_FASTCALL, "nngio_send(operation, handle's owner, bytes, ms)" },
	{ "send_box", FAST(send_box), METH_FASTCALL, "nngio_send_box(operation, handle's owner, box's owner, ms)" },
	{ "recv", FAST(recv_now), METH_FASTCALL, "nngio_recv(operation, handle's owner, ms)" },
	{ "wait", wait_for, METH_O, "nngio_wait(operation)" },
	{ "result", result, METH_O, "The result of an operation that is over." },
	{ "body", body, METH_O, "The body of the message that an operation has." },
	{ "leave", leave, METH_O, "nngio_leave(operation, NULL)" },
	{ "new_slot", new_slot, METH_NOARGS, "An idle operation for the calling thread; None if there is none to be had." },
	{ "set_main_thread", set_main_thread, METH_O, "Set the number of the thread that signals wake." },
	{ NULL, NULL, 0, NULL },
};

int
add_verbs(PyObject *module)
{
	return (add_type(module, "Slot", &slot_type, &slot_spec, NULL) != 0 ? -1 : PyModule_AddFunctions(module, functions));
}
