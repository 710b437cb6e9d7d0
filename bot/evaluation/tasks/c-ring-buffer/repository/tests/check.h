#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                      \
    do {                                                                 \
        if (!(what)) {                                                   \
            printf("%s:%d: %s is not so\n", __FILE__, __LINE__, #what);  \
            exit(1);                                                     \
        }                                                                \
    } while (0)

#endif
