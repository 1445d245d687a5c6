// The operations of event loops, as Python objects: what is common to all loops, and what a task of asyncio's takes
// for a future.  See _core/adapter.py and _adapters/_asyncio.py for what they are.

#include "python.h"

#define KEEP_EACH 4096 // what an idle operation may hold on to; there may be many of them

PyTypeObject    *operation_type, *future_type;
static PyObject *raise_name, *abandon_name, *error_name, *handle_name, *look_name;

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
	if (o->op->len > KEEP_EACH || o->op->bytes > KEEP_EACH || o->op->piece != NULL || o->op->task != NULL) {
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
//
// An errand is a whole verb: the first step begins it, and the last one returns its result.  What that does not come
// to, by whatever exception, is abandoned: `throw` and `close` see to that, which coroutines call.

static int
future_traverse(PyObject *self, visitproc visit, void *arg)
{
	future *f = (future *) self;

	Py_VISIT(f->loop);
	Py_VISIT(f->wakeup);
	Py_VISIT(f->context);
	Py_VISIT(f->message);
	Py_VISIT(f->channel);
	Py_VISIT(f->data);
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
	Py_CLEAR(f->channel);
	Py_CLEAR(f->data);
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

// Hands the future to the task that awaits it.
static PySendResult
suspend(future *f, PyObject **result)
{
	f->suspended = f->blocking = 1;
	f->base.turns->budget++; // for this call the task does give way
	Py_INCREF((PyObject *) f);
	*result = (PyObject *) f;
	return (PYGEN_NEXT);
}

static void
errand_ends(future *f)
{
	f->errand = NO_ERRAND;
	Py_CLEAR(f->channel);
	Py_CLEAR(f->data);
}

// Ends an errand that an exception has interrupted, which may be replaced by that of the attempt.
static void
errand_fails(future *f)
{
	PyObject *type, *value, *traceback, *done;

	PyErr_Fetch(&type, &value, &traceback);
	Py_INCREF((PyObject *) f);
	errand_ends(f);
	for (int attempt = 0; attempt < 2; attempt++) { // a signal handler may raise in the first
		if ((done = PyObject_CallMethodObjArgs(f->base.adapter, abandon_name, f, NULL)) != NULL) {
			Py_DECREF(done);
			break;
		}
		Py_XDECREF(type);
		Py_XDECREF(value);
		Py_XDECREF(traceback);
		PyErr_Fetch(&type, &value, &traceback);
	}
	PyErr_Restore(type, value, traceback);
	Py_DECREF((PyObject *) f);
}

static PySendResult
errand_returns(future *f, int code, PyObject **result)
{
	PyObject *value, *number;

	if (code == 0) {
		value = f->errand == RECEIVES ? body_of(f->base.op) : (Py_INCREF(Py_None), Py_None);
	} else if ((value = number = PyLong_FromLong(code)) != NULL) {
		value = PyObject_CallMethodObjArgs(f->channel, error_name, number, f, f->data, NULL);
		Py_DECREF(number);
	}
	if (value == NULL) {
		errand_fails(f);
		return (PYGEN_ERROR);
	}
	errand_ends(f);
	operation_over((PyObject *) f, NULL, NULL);
	if (code == 0) {
		*result = value;
		return (PYGEN_RETURN);
	}
	PyErr_SetObject((PyObject *) Py_TYPE(value), value);
	Py_DECREF(value);
	return (PYGEN_ERROR);
}

// Begins a receive that was told to look anew, when its loop has looked.
static int
look_and_begin(future *f)
{
	PyObject *handle = PyObject_GetAttr(f->channel, handle_name), *done = NULL;

	if (handle != NULL) {
		done = PyObject_CallMethodObjArgs(f->base.adapter, look_name, handle, NULL);
		Py_DECREF(handle);
	}
	if (done == NULL) {
		return (-1);
	}
	Py_DECREF(done);
	return (nngio_begin_recv(f->base.op, f->h, f->base.ms));
}

static PySendResult
errand_begins(future *f, PyObject **result)
{
	int code;

	f->begun = 1;
	if (f->errand == SENDS) {
		code = begin_send_bytes(f->base.op, f->h, f->data, f->base.ms);
	} else {
		code = nngio_begin_recv(f->base.op, f->h, f->base.ms);
		if (code == NNGIO_LOOK) {
			code = look_and_begin(f);
		}
	}
	if (code == NNGIO_PENDING && f->errand == RECEIVES) {
		PyObject *before = f->base.handle;
		f->base.handle   = PyObject_GetAttr(f->channel, handle_name);
		Py_XDECREF(before);
	}
	if (PyErr_Occurred()) {
		errand_fails(f);
		return (PYGEN_ERROR);
	}
	return (code == NNGIO_PENDING ? suspend(f, result) : errand_returns(f, code, result));
}

// Who has its coroutine ended by hand, or by a second task, does so while a task waits for it: that one goes on, to be told.
// It has the future still, which nobody else gets therefore.
void
future_forsake(PyObject *self)
{
	future   *f = (future *) self;
	PyObject *type, *value, *traceback, *call_soon, *arguments = NULL, *names = NULL, *done = NULL;

	if (f->wakeup == NULL) {
		return;
	}
	PyErr_Fetch(&type, &value, &traceback);
	f->base.idle = 1;
	if ((call_soon = PyObject_GetAttrString(f->loop, "call_soon")) != NULL &&
	    (arguments = PyTuple_Pack(2, f->wakeup, self)) != NULL &&
	    (names = Py_BuildValue("{sO}", "context", f->context)) != NULL) {
		done = PyObject_Call(call_soon, arguments, names);
	}
	if (done == NULL) {
		PyErr_Clear(); // its loop is closed
	}
	Py_CLEAR(f->wakeup);
	Py_CLEAR(f->context);
	Py_XDECREF(done);
	Py_XDECREF(names);
	Py_XDECREF(arguments);
	Py_XDECREF(call_soon);
	PyErr_Restore(type, value, traceback);
}

// A task goes on that was not woken: another one than that which waits.
static PySendResult
unexpected(PyObject *self)
{
	future_forsake(self);
	PyErr_SetString(PyExc_RuntimeError, "a task went on that waited for a message, and there was none");
	return (PYGEN_ERROR);
}

PySendResult
future_send(PyObject *self, PyObject *argument, PyObject **result)
{
	future *f = (future *) self;

	(void) argument;
	if (f->errand == NO_ERRAND) {
		if (!f->base.ready && !f->cancelled) {
			return (f->suspended ? unexpected(self) : suspend(f, result));
		}
		Py_INCREF(Py_None);
		*result = Py_None;
		return (PYGEN_RETURN);
	}
	if (!f->begun) {
		return (errand_begins(f, result));
	}
	if (!f->base.ready) {
		(void) unexpected(self);
		errand_fails(f);
		return (PYGEN_ERROR);
	}
	return (errand_returns(f, f->base.op->result, result));
}

static PyObject *
future_next(PyObject *self)
{
	PyObject *result = NULL;

	if (future_send(self, Py_None, &result) == PYGEN_RETURN) {
		if (result != Py_None) {
			PyErr_SetObject(PyExc_StopIteration, result);
		}
		Py_CLEAR(result);
	}
	return (result);
}

// Raises what `throw` was called with.
PyObject *
raise_thrown(PyObject *arguments)
{
	PyObject *type, *value = NULL, *traceback = NULL;

	if (!PyArg_UnpackTuple(arguments, "throw", 1, 3, &type, &value, &traceback)) {
		return (NULL);
	}
	if (PyExceptionInstance_Check(type)) {
		PyErr_SetObject((PyObject *) Py_TYPE(type), type);
	} else if (!PyExceptionClass_Check(type)) {
		PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
	} else {
		Py_INCREF(type);
		Py_XINCREF(value);
		Py_XINCREF(traceback == Py_None ? NULL : traceback);
		PyErr_Restore(type, value, traceback == Py_None ? NULL : traceback);
	}
	return (NULL);
}

PyObject *
future_throw(PyObject *self, PyObject *arguments)
{
	future_forsake(self);
	(void) raise_thrown(arguments);
	if (((future *) self)->errand != NO_ERRAND) {
		errand_fails((future *) self);
	}
	return (NULL);
}

// Whoever awaits it doesn't any more: an errand that has not come to its end is abandoned.
static PyObject *
future_close(PyObject *self, PyObject *none)
{
	(void) none;
	future_forsake(self);
	if (((future *) self)->errand != NO_ERRAND) {
		errand_fails((future *) self);
		if (PyErr_Occurred()) {
			return (NULL);
		}
	}
	Py_RETURN_NONE;
}

// An errand for the running task, which the first step begins; NULL, perhaps with an exception, when Python has to do it.
PyObject *
errand_new(PyObject *channel, nngio_handle *h, PyObject *data, int ms, enum errand kind)
{
	future *f;

	if ((data != NULL && !PyBytes_CheckExact(data)) || (f = (future *) take_now()) == NULL) {
		return (NULL);
	}
	f->errand  = (char) kind;
	f->begun   = 0;
	f->suspended = f->cancelled = 0;
	f->h       = h;
	f->base.ms = ms;
	Py_INCREF(f->channel = channel); // the one before is gone with its errand
	Py_XINCREF(f->data = data);
	return ((PyObject *) f);
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
	{ "throw", future_throw, METH_VARARGS, "Called by the coroutine that awaits it." },
	{ "close", future_close, METH_NOARGS, "The same." },
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
	{ Py_am_send, future_send },
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
	if (raise_name == NULL) {
		raise_name   = PyUnicode_InternFromString("raise_cancelled");
		abandon_name = PyUnicode_InternFromString("abandon");
		error_name   = PyUnicode_InternFromString("_error");
		handle_name  = PyUnicode_InternFromString("_handle");
		look_name    = PyUnicode_InternFromString("look");
	}
	return (PyErr_Occurred() || add_type(module, "Operation", &operation_type, &operation_spec, NULL) != 0
	        ? -1
	        : add_type(module, "Future", &future_type, &future_spec, operation_type));
}
