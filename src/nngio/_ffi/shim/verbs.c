// The part of a verb that each message pays for, in Python's own API: the module `nngio._python` has it.
//
// What a verb calls here keeps the GIL: beginning an operation waits for nobody, and to let go of the GIL for it
// would cost as much again, and hand it to another thread at every message.  It is let go where a thread waits,
// and to copy what is long.
//
// Rules that the Python half follows.  Python runs signal handlers after each call, so no call may hand over the
// only copy of anything: a message stays in its operation until the store of `over`, which is no call.  An
// operation that is dropped before that gives back what it has.

#include <Python.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

#include "internal.h"
#include "python.h"

#define SLICE_MS 50
#define LONG_BODY 65536
#define KEEP_EACH 4096 // what an idle operation of a loop's may hold on to; there may be many of them

// Both begin alike.
typedef struct {
	PyObject_HEAD
	nngio_op *op;
} slot; // an operation that a thread waits for, from the pool and back

typedef struct turns turns;

typedef struct {
	PyObject_HEAD
	nngio_op *op;      // which `owner` owns
	turns    *turns;   // the adapter
	PyObject *owner, *adapter, *c, *handle, *weak;
	int       ms;
	char      ready, stale, lent, aborted;
	char      idle; // in the list of those
} operation; // the base of a loop's operations

// What a task of asyncio's takes for a future: see _adapters/_asyncio.py.
typedef struct {
	operation base;
	PyObject *loop, *wakeup, *context, *message;
	char      suspended, blocking, cancelled;
} future;

struct turns {
	PyObject_HEAD
	PyObject *idle; // a list of operations, which the adapter keeps
	int       full; // calls of a turn, after its first
	int       budget;
	double    seconds; // of a turn
	double    ends;
	char      lent;    // one of those that were settled last had been lent
}; // the base of adapters

static PyTypeObject *slot_type, *operation_type, *future_type, *turns_type;
static PyObject     *running_loop; // asyncio's function, when the program has imported that
static PyObject     *trio_name, *adapter_name, *run_name, *put_back_name, *raise_name;
static unsigned long main_thread;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double) ts.tv_sec + (double) ts.tv_nsec * 1e-9);
}

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

static int
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

static PyObject *
body(PyObject *module, PyObject *object)
{
	nngio_op *op = op_of(object);
	PyObject *bytes;

	(void) module;
	if (op == NULL) {
		return (NULL);
	}
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

// Operations of loops.

static PyObject *
operation_bind(PyObject *self, PyObject *arguments)
{
	operation *o = (operation *) self;
	PyObject  *owner, *adapter;

	if (!PyArg_UnpackTuple(arguments, "bind", 2, 2, &owner, &adapter)) {
		return (NULL);
	}
	if (!PyType_IsSubtype(Py_TYPE(adapter), turns_type)) {
		PyErr_SetString(PyExc_TypeError, "this is no adapter");
		return (NULL);
	}
	if ((o->op = owned_pointer(owner, OWN_OPERATION)) == NULL) {
		return (NULL);
	}
	o->turns = (turns *) adapter;
	Py_RETURN_NONE;
}

// The operation is idle, and the caller has what it had.
static int
operation_over(PyObject *self, PyObject *value, void *closure)
{
	operation *o = (operation *) self;

	(void) value, (void) closure;
	o->op->kind = NNGIO_NONE;
	o->ready    = 0;
	if (o->op->len > KEEP_EACH || o->op->bytes > KEEP_EACH) {
		nngio_op_drop(o->op);
	}
	if (!o->idle && o->turns->idle != NULL) {
		if (PyList_Append(o->turns->idle, self) == 0) {
			o->idle = 1;
		} else {
			PyErr_Clear(); // it is not used again
		}
	}
	return (0);
}

static int
operation_traverse(PyObject *self, visitproc visit, void *arg)
{
	operation *o = (operation *) self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(o->adapter);
	Py_VISIT(o->c);
	Py_VISIT(o->handle);
	return (0);
}

// Not the owner: it is in no cycle, and the last to go.
static int
operation_clear(PyObject *self)
{
	operation *o = (operation *) self;

	Py_CLEAR(o->adapter);
	Py_CLEAR(o->c);
	Py_CLEAR(o->handle);
	return (0);
}

static void
operation_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	operation    *o    = (operation *) self;

	PyObject_GC_UnTrack(self);
	if (o->weak != NULL) {
		PyObject_ClearWeakRefs(self);
	}
	(void) ((inquiry) PyType_GetSlot(type, Py_tp_clear))(self);
	Py_CLEAR(o->owner);
	((freefunc) PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static PyMethodDef operation_methods[] = {
	{ "bind", operation_bind, METH_VARARGS, "Set the owner of the operation in C, and the adapter." },
	{ NULL, NULL, 0, NULL },
};
static PyMemberDef operation_members[] = {
	{ "ready", T_BOOL, offsetof(operation, ready), 0, "Whether its task may go on." },
	{ "stale", T_BOOL, offsetof(operation, stale), 0, "Whether it is to be used again when it comes out of the queue." },
	{ "lent", T_BOOL, offsetof(operation, lent), 0, "Whether it is to be begun anew when it comes out of the queue." },
	{ "aborted", T_BOOL, offsetof(operation, aborted), 0, "Whether its task is being cancelled." },
	{ "ms", T_INT, offsetof(operation, ms), 0, "The timeout of a pending receive." },
	{ "handle", T_OBJECT, offsetof(operation, handle), 0, "The handle of a pending receive." },
	{ "adapter", T_OBJECT, offsetof(operation, adapter), 0, "The adapter that it belongs to." },
	{ "c", T_OBJECT, offsetof(operation, c), 0, "The operation in C, for cffi." },
	{ "_owner", T_OBJECT, offsetof(operation, owner), 0, "Who owns that." },
	{ "__weaklistoffset__", T_PYSSIZET, offsetof(operation, weak), READONLY, NULL },
	{ NULL, 0, 0, 0, NULL },
};
static PyGetSetDef operation_getset[] = {
	{ "over", NULL, operation_over, "To be set when the caller has what the operation had: it is idle then.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot operation_slots[] = {
	{ Py_tp_methods, operation_methods },
	{ Py_tp_members, operation_members },
	{ Py_tp_getset, operation_getset },
	{ Py_tp_traverse, operation_traverse },
	{ Py_tp_clear, operation_clear },
	{ Py_tp_dealloc, operation_dealloc },
	{ 0, NULL },
};
static PyType_Spec operation_spec = {
	.name      = "nngio._python.Operation",
	.basicsize = sizeof(operation),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots     = operation_slots,
};

// Futures.  The task that awaits one iterates over it: the first step hands it to the task, which leaves its
// wakeup function, and the second is the end.

static int
future_traverse(PyObject *self, visitproc visit, void *arg)
{
	future *f = (future *) self;

	Py_VISIT(f->loop);
	Py_VISIT(f->wakeup);
	Py_VISIT(f->context);
	Py_VISIT(f->message);
	return (operation_traverse(self, visit, arg));
}

static int
future_clear(PyObject *self)
{
	future *f = (future *) self;

	Py_CLEAR(f->loop);
	Py_CLEAR(f->wakeup);
	Py_CLEAR(f->context);
	Py_CLEAR(f->message);
	return (operation_clear(self));
}

static PyObject *
future_await(PyObject *self)
{
	future *f = (future *) self;

	f->suspended = f->cancelled = 0;
	Py_INCREF(self);
	return (self);
}

static PyObject *
future_iter(PyObject *self)
{
	Py_INCREF(self);
	return (self);
}

static PyObject *
future_next(PyObject *self)
{
	future *f = (future *) self;

	if (f->suspended || f->base.ready) {
		return (NULL);
	}
	f->suspended = f->blocking = 1;
	Py_INCREF(self);
	return (self);
}

static PyObject *
future_get_loop(PyObject *self, PyObject *none)
{
	PyObject *loop = ((future *) self)->loop;

	(void) none;
	loop = loop != NULL ? loop : Py_None;
	Py_INCREF(loop);
	return (loop);
}

static PyObject *
future_add_done_callback(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
	future *f = (future *) self;

	if (count != 1 || names == NULL || PyTuple_Size(names) != 1) {
		PyErr_SetString(PyExc_TypeError, "a task passes its wakeup function and its context");
		return (NULL);
	}
	Py_CLEAR(f->wakeup);
	Py_CLEAR(f->context);
	Py_INCREF(f->wakeup = arguments[0]);
	Py_INCREF(f->context = arguments[1]);
	Py_RETURN_NONE;
}

static PyObject *
future_remove_done_callback(PyObject *self, PyObject *callback)
{
	(void) callback;
	Py_CLEAR(((future *) self)->wakeup);
	return (PyLong_FromLong(1));
}

static PyObject *
future_cancelled(PyObject *self, PyObject *none)
{
	(void) none;
	return (PyBool_FromLong(((future *) self)->cancelled));
}

static PyObject *
future_done(PyObject *self, PyObject *none)
{
	future *f = (future *) self;

	(void) none;
	return (PyBool_FromLong(f->base.ready || f->cancelled));
}

static PyObject *
future_result(PyObject *self, PyObject *none)
{
	(void) none;
	if (((future *) self)->cancelled) {
		return (PyObject_CallMethodObjArgs(self, raise_name, NULL));
	}
	Py_RETURN_NONE;
}

static PyObject *
future_exception(PyObject *self, PyObject *none)
{
	(void) self, (void) none;
	Py_RETURN_NONE;
}

static PyObject *
future_waited_for(PyObject *self, void *closure)
{
	(void) closure;
	return (PyBool_FromLong(((future *) self)->wakeup != NULL));
}

#define FAST(function) ((PyCFunction) (void (*)(void)) (function))

static PyMethodDef future_methods[] = {
	{ "get_loop", future_get_loop, METH_NOARGS, "The loop." },
	{ "add_done_callback", FAST(future_add_done_callback), METH_FASTCALL | METH_KEYWORDS, "Called by the task that awaits it." },
	{ "remove_done_callback", future_remove_done_callback, METH_O, "The task does not await it any more." },
	{ "cancelled", future_cancelled, METH_NOARGS, "Whether it was cancelled." },
	{ "done", future_done, METH_NOARGS, "Whether its task may go on." },
	{ "result", future_result, METH_NOARGS, "None, or the cancellation." },
	{ "exception", future_exception, METH_NOARGS, "None." },
	{ NULL, NULL, 0, NULL },
};
static PyMemberDef future_members[] = {
	{ "loop", T_OBJECT, offsetof(future, loop), 0, "The loop." },
	{ "_asyncio_future_blocking", T_BOOL, offsetof(future, blocking), 0, "Whether it was yielded to be waited for." },
	{ "_cancelled", T_BOOL, offsetof(future, cancelled), 0, "Whether it was cancelled." },
	{ "_message", T_OBJECT, offsetof(future, message), 0, "What the cancellation says." },
	{ NULL, 0, 0, 0, NULL },
};
static PyGetSetDef future_getset[] = {
	{ "waited_for", future_waited_for, NULL, "Whether a task waits, and has not been woken.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot future_slots[] = {
	{ Py_tp_methods, future_methods },
	{ Py_tp_members, future_members },
	{ Py_tp_getset, future_getset },
	{ Py_tp_traverse, future_traverse },
	{ Py_tp_clear, future_clear },
	{ Py_tp_dealloc, operation_dealloc },
	{ Py_am_await, future_await },
	{ Py_tp_iter, future_iter },
	{ Py_tp_iternext, future_next },
	{ 0, NULL },
};
static PyType_Spec future_spec = {
	.name      = "nngio._python.Future",
	.basicsize = sizeof(future),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots     = future_slots,
};

// Turns.

static PyObject *
clock_now(PyObject *module, PyObject *none)
{
	(void) module, (void) none;
	return (PyFloat_FromDouble(now()));
}

// Counts a call.  True when the task has had its turn.
static bool
count_call(turns *t)
{
	int budget = --t->budget;

	if (budget == t->full - 1) {
		t->ends = now() + t->seconds;
		return (false);
	}
	return (budget < 0 || now() > t->ends);
}

static PyObject *
pop_idle(turns *t)
{
	Py_ssize_t size = t->idle == NULL ? 0 : PyList_Size(t->idle);
	PyObject  *o;

	if (size == 0) {
		return (NULL);
	}
	o = PyList_GetItem(t->idle, size - 1);
	Py_INCREF(o);
	if (PyList_SetSlice(t->idle, size - 1, size, NULL) != 0) {
		PyErr_Clear();
		Py_DECREF(o);
		return (NULL);
	}
	((operation *) o)->idle = 0;
	return (o);
}

static PyObject *
turns_bind(PyObject *self, PyObject *arguments)
{
	turns    *t = (turns *) self;
	PyObject *idle;

	if (!PyArg_ParseTuple(arguments, "O!id", &PyList_Type, &idle, &t->full, &t->seconds)) {
		return (NULL);
	}
	t->idle   = idle;
	t->budget = t->full;
	Py_RETURN_NONE;
}

static PyObject *
turns_over_budget(PyObject *self, PyObject *none)
{
	(void) none;
	return (PyBool_FromLong(count_call((turns *) self)));
}

static PyObject *
turns_take_idle(PyObject *self, PyObject *none)
{
	PyObject *o = pop_idle((turns *) self);

	(void) none;
	if (o == NULL) {
		Py_RETURN_NONE;
	}
	return (o);
}

// Takes up to `most` operations from the queue, and makes them ready, but for those that had been lent and are to
// be begun anew.  What its owner had abandoned is idle now.
static PyObject *
turns_settle(PyObject *self, PyObject *arguments)
{
	turns    *t = (turns *) self;
	PyObject *queue, *operations, *finished;
	uint32_t  tags[NNGIO_BATCH];
	int       most, n;

	if (!PyArg_ParseTuple(arguments, "OO!i", &queue, &PyList_Type, &operations, &most) ||
	    (finished = PyList_New(0)) == NULL) {
		return (NULL);
	}
	n       = nngio_queue_settle(PyLong_AsVoidPtr(queue), tags, most < NNGIO_BATCH ? most : NNGIO_BATCH);
	t->lent = 0;
	for (int i = 0; i < n; i++) {
		operation *o = (operation *) PyList_GetItem(operations, (Py_ssize_t) tags[i]);

		if (o == NULL) {
			Py_DECREF(finished);
			return (NULL);
		}
		if (o->stale) {
			o->stale = 0;
			operation_over((PyObject *) o, NULL, NULL);
			continue;
		}
		o->ready = !o->lent;
		t->lent |= o->lent;
		if (PyList_Append(finished, (PyObject *) o) != 0) {
			Py_DECREF(finished);
			return (NULL);
		}
	}
	return (finished);
}

static int
put_back(PyObject *self, PyObject *finished, Py_ssize_t from)
{
	PyObject *rest = PyList_GetSlice(finished, from, PyList_Size(finished)), *done = NULL;

	if (rest != NULL) {
		done = PyObject_CallMethodObjArgs(self, put_back_name, rest, NULL);
		Py_DECREF(rest);
	}
	Py_XDECREF(done);
	return (done != NULL ? 0 : -1);
}

// Wakes the tasks that wait for these futures, for as long as the turn lasts; what is left then, or when one of them
// raises what ends the loop, is put back.
static PyObject *
turns_wake(PyObject *self, PyObject *finished)
{
	turns     *t     = (turns *) self;
	double     until = now() + t->seconds;
	Py_ssize_t size  = PyList_Size(finished);

	t->ends = until;
	for (Py_ssize_t i = 0; i < size; i++) {
		PyObject *object = PyList_GetItem(finished, i), *wakeup, *context, *done;
		future   *f      = (future *) object;

		if (f == NULL || !PyType_IsSubtype(Py_TYPE(object), future_type)) {
			PyErr_SetString(PyExc_TypeError, "this is no future");
			return (NULL);
		}
		if (f->wakeup == NULL || !f->base.ready) {
			continue; // its task was interrupted
		}
		wakeup     = f->wakeup;
		context    = f->context;
		f->wakeup  = NULL;
		f->context = NULL;
		done       = PyObject_CallMethodObjArgs(context, run_name, wakeup, object, NULL);
		Py_DECREF(wakeup);
		Py_DECREF(context);
		if (done == NULL) {
			PyObject *type, *value, *traceback;
			PyErr_Fetch(&type, &value, &traceback);
			if (put_back(self, finished, i + 1) != 0) {
				PyErr_WriteUnraisable(self);
			}
			PyErr_Restore(type, value, traceback);
			return (NULL);
		}
		Py_DECREF(done);
		t->budget--;
		if (t->budget < 0 || now() > until) { // a task that was woken may have begun a new turn for itself
			if (put_back(self, finished, i + 1) != 0) {
				return (NULL);
			}
			break;
		}
	}
	Py_RETURN_NONE;
}

static PyMethodDef turns_methods[] = {
	{ "bind", turns_bind, METH_VARARGS, "Set the list of idle operations, which the adapter keeps, the calls of a turn and its seconds." },
	{ "over_budget", turns_over_budget, METH_NOARGS,
	    "Count a call; True when the task has had its turn, and has to `pause` first." },
	{ "take_idle", turns_take_idle, METH_NOARGS, "An idle operation, or None." },
	{ "settle", turns_settle, METH_VARARGS, "Take operations from the queue at an address, those with their tags' numbers in a list." },
	{ "wake", turns_wake, METH_O, "Wake the tasks that wait for a list of futures." },
	{ NULL, NULL, 0, NULL },
};
static PyMemberDef turns_members[] = {
	{ "budget", T_INT, offsetof(turns, budget), 0, "How many calls the turn has left." },
	{ "turn_ends", T_DOUBLE, offsetof(turns, ends), 0, "When the turn is over at the latest, by `clock`." },
	{ "some_lent", T_BOOL, offsetof(turns, lent), READONLY, "Whether one of those that were settled last had been lent." },
	{ NULL, 0, 0, 0, NULL },
};
static PyType_Slot turns_slots[] = {
	{ Py_tp_methods, turns_methods },
	{ Py_tp_members, turns_members },
	{ 0, NULL },
};
static PyType_Spec turns_spec = {
	.name      = "nngio._python.Turns",
	.basicsize = sizeof(turns),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots     = turns_slots,
};

// An idle operation of the loop that runs the caller, if that is one of asyncio's and the caller still has its
// turn; None when Python has to see to it.
static PyObject *
take_now(PyObject *module, PyObject *none)
{
	PyObject *loop, *adapter, *o = NULL;

	(void) module, (void) none;
	if (running_loop == NULL || PyDict_GetItemWithError(PyImport_GetModuleDict(), trio_name) != NULL) {
		Py_RETURN_NONE;
	}
	if ((loop = PyObject_CallNoArgs(running_loop)) == NULL) {
		return (NULL);
	}
	adapter = loop == Py_None ? NULL : PyObject_GetAttr(loop, adapter_name);
	Py_DECREF(loop);
	if (adapter == NULL) {
		PyErr_Clear();
		Py_RETURN_NONE;
	}
	if (PyType_IsSubtype(Py_TYPE(adapter), turns_type)) {
		turns *t = (turns *) adapter;
		if (count_call(t) || (o = pop_idle(t)) == NULL) {
			t->budget++; // Python counts it
		}
	}
	Py_DECREF(adapter);
	if (o == NULL) {
		Py_RETURN_NONE;
	}
	return (o);
}

static PyObject *
set_running_loop(PyObject *module, PyObject *function)
{
	(void) module;
	Py_INCREF(function);
	Py_XDECREF(running_loop);
	running_loop = function;
	Py_RETURN_NONE;
}

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
	{ "clock", clock_now, METH_NOARGS, "Seconds, of the clock that turns go by." },
	{ "take_now", take_now, METH_NOARGS,
	    "An idle operation of the loop of asyncio's that runs the caller, whose call is counted; None when Python has to see to it." },
	{ "set_running_loop", set_running_loop, METH_O, "Set the function that returns asyncio's running loop or None." },
	{ "set_main_thread", set_main_thread, METH_O, "Set the number of the thread that signals wake." },
	{ NULL, NULL, 0, NULL },
};

static int
add_type(PyObject *module, const char *name, PyTypeObject **type, PyType_Spec *spec, PyTypeObject *base)
{
	if (*type == NULL) {
		*type = (PyTypeObject *) PyType_FromSpecWithBases(spec, (PyObject *) base);
	}
	return (*type == NULL ? -1 : PyModule_AddObjectRef(module, name, (PyObject *) *type));
}

// Called when the module `nngio._python` is made.
int
add_verbs(PyObject *module)
{
	if (trio_name == NULL) {
		trio_name     = PyUnicode_InternFromString("trio");
		adapter_name  = PyUnicode_InternFromString("_nngio");
		run_name      = PyUnicode_InternFromString("run");
		put_back_name = PyUnicode_InternFromString("put_back");
		raise_name    = PyUnicode_InternFromString("raise_cancelled");
	}
	return (PyErr_Occurred() || add_type(module, "Slot", &slot_type, &slot_spec, NULL) != 0 ||
	            add_type(module, "Operation", &operation_type, &operation_spec, NULL) != 0 ||
	            add_type(module, "Future", &future_type, &future_spec, operation_type) != 0 ||
	            add_type(module, "Turns", &turns_type, &turns_spec, NULL) != 0 ||
	            PyModule_AddFunctions(module, functions) != 0
	        ? -1
	        : 0);
}
