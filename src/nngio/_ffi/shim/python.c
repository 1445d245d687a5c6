// The one thing that only Python's own API can do.

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
