// The operations of event loops, as Python objects: what is common to all loops, and what a task of asyncio's takes
// for a future.  See _core/adapter.py and _adapters/_asyncio.py for what they are.

#include "python.h"

#define KEEP_EACH 4096 // what an idle operation may hold on to; there may be many of them

PyTypeObject    *operation_type, *future_type;
static PyObject *raise_name;

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
int
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
	f->base.turns->budget++; // for this call the task does give way
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

int
add_operations(PyObject *module)
{
	if (raise_name == NULL && (raise_name = PyUnicode_InternFromString("raise_cancelled")) == NULL) {
		return (-1);
	}
	return (add_type(module, "Operation", &operation_type, &operation_spec, NULL) != 0
	        ? -1
	        : add_type(module, "Future", &future_type, &future_spec, operation_type));
}
