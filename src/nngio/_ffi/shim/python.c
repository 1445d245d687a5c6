// What only Python's own API can do.

#include <Python.h>
#include <stdbool.h>

#include "nngio_shim.h"

// Makes `exception`, a class, be raised in a thread as soon as that thread runs Python code.  False when
// there is no such thread.
bool
nngio_raise_in_thread(unsigned long thread, void *exception)
{
	PyGILState_STATE state = PyGILState_Ensure();
	bool             found = PyThreadState_SetAsyncExc(thread, exception) == 1;

	PyGILState_Release(state);
	return (found);
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
