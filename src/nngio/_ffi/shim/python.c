// What only Python's own API can do.

#include <Python.h>
#include <stdbool.h>

#include "nngio_shim.h"

// Owners.  What Python has of the shim's is a bare pointer, and an owner that frees it, which an attribute of the
// same object refers to.  cffi's own way, ffi.gc, would free it too early: the collector of cycles finalizes in
// any order, so a finalizer of somebody else's could use what is freed already.  An owner takes no part in
// cycles, so it goes with the last reference, when no finalizer is left to run.
//
// The owner of a box also is the buffer of its message's body, and so of each view that is made over it.

typedef struct {
	PyObject_HEAD
	void *pointer;
	int   kind;
} owner;

static void
owner_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	owner        *o    = (owner *) self;

	switch (o->kind) {
	case NNGIO_OWN_BOX:
		nngio_box_free(o->pointer);
		break;
	case NNGIO_OWN_HANDLE:
		Py_BEGIN_ALLOW_THREADS nngio_handle_free(o->pointer);
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

	if (o->kind == NNGIO_OWN_BOX && (body = nngio_box_view(box, &size)) != NULL) {
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
	.name      = "nngio._nng.Owner",
	.basicsize = sizeof(owner),
	.flags     = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots     = owner_slots,
};

// Sets the attribute `_owner` of a Python object to an owner of the pointer.  False when there is no memory: the
// pointer is the caller's still.
bool
nngio_own(void *object, void *pointer, int kind)
{
	static PyObject *type, *name;
	PyGILState_STATE state = PyGILState_Ensure();
	owner           *o     = NULL;
	bool             done;

	if (type == NULL) {
		type = PyType_FromSpec(&owner_spec);
	}
	if (name == NULL) {
		name = PyUnicode_InternFromString("_owner");
	}
	if (type != NULL && name != NULL) {
		o = PyObject_New(owner, (PyTypeObject *) type);
	}
	if ((done = o != NULL)) {
		o->pointer = NULL;
		o->kind    = NNGIO_OWN_BOX;
		if ((done = PyObject_SetAttr(object, name, (PyObject *) o) == 0)) {
			o->pointer = pointer;
			o->kind    = kind;
		}
		Py_DECREF(o);
	}
	PyErr_Clear();
	PyGILState_Release(state);
	return (done);
}

static int
call(void *function)
{
	PyObject *result = PyObject_CallObject(function, NULL);

	Py_DECREF((PyObject *) function);
	Py_XDECREF(result);
	return (result != NULL ? 0 : -1);
}

// Calls `function` in the main thread, as soon as that runs Python code; what it raises is raised there.
// False when too many such calls are waiting.
bool
nngio_call_in_main_thread(void *function)
{
	PyGILState_STATE state = PyGILState_Ensure();
	bool             waits;

	Py_INCREF((PyObject *) function);
	if (!(waits = Py_AddPendingCall(call, function) == 0)) {
		Py_DECREF((PyObject *) function);
	}
	PyGILState_Release(state);
	return (waits);
}

// Has nngio_end called when Python has ended: no thread runs Python code any more, or ever will.
void
nngio_watch_exit(void)
{
	PyGILState_STATE state = PyGILState_Ensure();

	(void) Py_AtExit(nngio_end); // if there is no room for it, sockets are left to the system
	PyGILState_Release(state);
}

// Hands an exception that nobody can catch to sys.unraisablehook; `source` is the object that raised it.  A
// hook that fails is reported too, and nothing is raised here.
void
nngio_report_unraisable(void *exception, void *source)
{
	PyGILState_STATE state = PyGILState_Ensure();

	PyErr_SetObject((PyObject *) Py_TYPE((PyObject *) exception), exception);
	PyErr_WriteUnraisable(source);
	PyGILState_Release(state);
}
