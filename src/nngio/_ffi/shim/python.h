// Shared by the files that use Python's API.

#ifndef NNGIO_PYTHON_H
#define NNGIO_PYTHON_H

enum owned {
	OWN_BOX,
	OWN_HANDLE,
	OWN_OPERATION,
};

void *owned_pointer(PyObject *object, enum owned kind); // TypeError if it owns something else
int   add_verbs(PyObject *module);

#endif
