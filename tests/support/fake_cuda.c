/* A stand-in for libcuda.so.1 and nvcuda.dll: it starts or does not, and makes contexts or does not. Only the public ABI is followed.
 *
 * FAKE_CUDA_INIT   what cuInit returns; "hang" and "abort" do that
 * FAKE_CUDA_GPUS   UUID=CODE, comma-separated: 32 hexadecimal digits, and what making a context there returns
 */
#include "fake_platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *row(int index)
{
    const char *text = getenv("FAKE_CUDA_GPUS");
    for (; text && *text && index > 0; index--)
        text = strchr(text, ',') ? strchr(text, ',') + 1 : NULL;
    return text && strlen(text) > 33 ? text : NULL;
}

API(int) cuInit(unsigned flags)
{
    const char *how = getenv("FAKE_CUDA_INIT");
    (void)flags;
    if (how && !strcmp(how, "hang"))
        for (;;)
            pause();
    if (how && !strcmp(how, "abort"))
        abort();
    return how ? atoi(how) : 0;
}

API(int) cuDriverGetVersion(int *version) { *version = 0; return 0; }
API(int) cuDeviceGet(int *device, int index) { *device = index; return row(index) ? 0 : 101; }

API(int) cuDeviceGetCount(int *count)
{
    for (*count = 0; row(*count); ++*count)
        ;
    return 0;
}

API(int) cuDeviceGetUuid(unsigned char *uuid, int device)
{
    for (int i = 0; i < 16; i++)
        if (sscanf(row(device) + 2 * i, "%2hhx", &uuid[i]) != 1)
            return 1;
    return 0;
}

API(int) cuDevicePrimaryCtxRetain(void **context, int device) { *context = NULL; return atoi(row(device) + 33); }
API(int) cuDevicePrimaryCtxRelease(int device) { (void)device; return 0; }
