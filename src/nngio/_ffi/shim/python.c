// What only Python's own API can do.

#include <Python.h>
#include <stdbool.h>

#include "nngio_shim.h"

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
