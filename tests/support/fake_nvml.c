/* A stand-in for libnvidia-ml.so.1 and nvml.dll with NVML's C ABI, for machines without a GPU. Only the public ABI is followed
 * (function names, argument types, structure layouts of nvml.h); tests/support/fake_nvml.py builds and describes it.
 *
 * FAKE_NVML_GPUS       one GPU a line: name|major|minor|bytes|uuid|bus|mig mode|mig devices|fabric state|compute mode|
 *                      virtualization mode|licensed
 * FAKE_NVML_DRIVER     driver version
 * FAKE_NVML_CUDA       what libcuda would answer (12080); FAKE_NVML_CUDA_KNOWN: what NVML knows without libcuda
 * FAKE_NVML_FAULTS     "function=code", "function:gpu=code", comma-separated. code: an nvmlReturn_t, or one of
 *                      hang, abort, segv, once<N> (code N on the first call only)
 * FAKE_NVML_NOISE      text written to standard output by init, as a badly behaved library would
 */
#include "fake_platform.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GPUS 32

enum { OK = 0, UNINITIALIZED = 1, BAD_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };

struct gpu {
    char name[96], uuid[96], bus[32];
    int major, minor, mig, slices, fabric, mode, virtual, licensed;
    unsigned long long bytes;
};
struct memory { unsigned long long total, free, used; };
struct pci {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char id[32];
};
struct fabric { unsigned version; unsigned char cluster[16]; int status; unsigned clique; unsigned char state; unsigned health; };

static struct gpu gpus[MAX_GPUS];
static struct gpu slice;
static int gpu_count = -1, started;

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void read_gpus(void)
{
    if (gpu_count >= 0)
        return;
    gpu_count = 0;
    const char *row = setting("FAKE_NVML_GPUS", "");
    while (*row && gpu_count < MAX_GPUS) {
        struct gpu *g = &gpus[gpu_count];
        if (sscanf(row, "%95[^|]|%d|%d|%llu|%95[^|]|%31[^|]|%d|%d|%d|%d|%d|%d", g->name, &g->major, &g->minor, &g->bytes,
                   g->uuid, g->bus, &g->mig, &g->slices, &g->fabric, &g->mode, &g->virtual, &g->licensed) == 12)
            gpu_count++;
        row = strchr(row, '\n') ? strchr(row, '\n') + 1 : "";
    }
}

/* The fault asked for in this call, carried out; 0 where there is none. */
static int fault(const char *function, int index)
{
    static char seen[64][96];
    static int seen_count;
    char text[4096], exact[96];
    char *save = NULL;
    snprintf(text, sizeof text, "%s", setting("FAKE_NVML_FAULTS", ""));
    snprintf(exact, sizeof exact, "%s:%d", function, index);
    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *what = strchr(item, '=');
        if (!what)
            continue;
        *what++ = 0;
        if (strcmp(item, function) && strcmp(item, exact))
            continue;
        if (!strcmp(what, "hang"))
            for (;;)
                pause();
        if (!strcmp(what, "abort")) {
            fprintf(stderr, "driver library: assertion failed in %s\n", function);
            abort();
        }
        if (!strcmp(what, "segv")) {
            signal(SIGSEGV, SIG_DFL);
            *(volatile int *)0 = 0;
        }
        if (!strncmp(what, "once", 4)) {
            int known = 0;
            for (int i = 0; i < seen_count; i++)
                known |= !strcmp(seen[i], exact);
            if (known || seen_count == 64)
                continue;
            snprintf(seen[seen_count++], sizeof seen[0], "%s", exact);
            return atoi(what + 4);
        }
        return atoi(what);
    }
    return OK;
}

static int enter(const char *function, int index)
{
    int code = fault(function, index);
    if (code)
        return code;
    return started ? OK : UNINITIALIZED;
}

static int index_of(const struct gpu *g)
{
    read_gpus();
    return g >= gpus && g < gpus + gpu_count ? (int)(g - gpus) : -1;
}

static int give(char *buffer, unsigned length, const char *text)
{
    if (strlen(text) + 1 > length)
        return TOO_SMALL;
    strcpy(buffer, text);
    return OK;
}

#define ENTER_MACHINE()                      \
    do {                                     \
        int code_ = enter(__func__, -1);     \
        if (code_)                           \
            return code_;                    \
    } while (0)
#define ENTER_GPU(g)                         \
    do {                                     \
        if (index_of(g) < 0)                 \
            return BAD_ARGUMENT;             \
        int code_ = enter(__func__, index_of(g)); \
        if (code_)                           \
            return code_;                    \
    } while (0)

static int start(const char *function)
{
    int code = fault(function, -1);
    if (code)
        return code;
    const char *noise = getenv("FAKE_NVML_NOISE");
    if (noise && write(1, noise, strlen(noise)) < 0)
        return BAD_ARGUMENT;
    read_gpus();
    started++;
    return OK;
}

API(int) nvmlInitWithFlags(unsigned flags) { (void)flags; return start(__func__); }
API(int) nvmlInit_v2(void) { return start(__func__); }
API(int) nvmlShutdown(void) { ENTER_MACHINE(); started--; return OK; }

API(const char *) nvmlErrorString(int code)
{
    static char text[48];
    snprintf(text, sizeof text, "fake error %d", code);
    return text;
}

API(int) nvmlSystemGetDriverVersion(char *buffer, unsigned length)
{
    ENTER_MACHINE();
    return give(buffer, length, setting("FAKE_NVML_DRIVER", ""));
}

API(int) nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    ENTER_MACHINE();
    *version = atoi(setting("FAKE_NVML_CUDA", "0"));
    return OK;
}

API(int) nvmlSystemGetCudaDriverVersion(int *version)
{
    ENTER_MACHINE();
    *version = atoi(setting("FAKE_NVML_CUDA_KNOWN", setting("FAKE_NVML_CUDA", "0")));
    return OK;
}

API(int) nvmlDeviceGetCount_v2(unsigned *count)
{
    ENTER_MACHINE();
    read_gpus();
    *count = (unsigned)gpu_count;
    return OK;
}

API(int) nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **g)
{
    int code = enter(__func__, (int)index);
    if (code)
        return code;
    read_gpus();
    if ((int)index >= gpu_count)
        return BAD_ARGUMENT;
    *g = &gpus[index];
    return OK;
}

API(int) nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **g)
{
    ENTER_MACHINE();
    read_gpus();
    for (int i = 0; i < gpu_count; i++)
        if (!strcmp(uuid, gpus[i].uuid)) {
            *g = &gpus[i];
            return OK;
        }
    return NOT_FOUND;
}

API(int) nvmlDeviceGetName(struct gpu *g, char *buffer, unsigned length) { ENTER_GPU(g); return give(buffer, length, g->name); }
API(int) nvmlDeviceGetUUID(struct gpu *g, char *buffer, unsigned length) { ENTER_GPU(g); return give(buffer, length, g->uuid); }

API(int) nvmlDeviceGetCudaComputeCapability(struct gpu *g, int *major, int *minor)
{
    ENTER_GPU(g);
    *major = g->major;
    *minor = g->minor;
    return OK;
}

API(int) nvmlDeviceGetMemoryInfo(struct gpu *g, struct memory *m)
{
    ENTER_GPU(g);
    m->total = g->bytes;
    m->used = g->bytes / 64;
    m->free = m->total - m->used;
    return OK;
}

API(int) nvmlDeviceGetPciInfo_v3(struct gpu *g, struct pci *p)
{
    ENTER_GPU(g);
    memset(p, 0, sizeof *p);
    snprintf(p->id, sizeof p->id, "%s", g->bus);
    sscanf(g->bus, "%x:%x:%x", &p->domain, &p->bus, &p->device);
    return OK;
}

API(int) nvmlDeviceGetMigMode(struct gpu *g, unsigned *current, unsigned *pending)
{
    ENTER_GPU(g);
    if (g->mig < 0)
        return NOT_SUPPORTED;
    *current = *pending = (unsigned)g->mig;
    return OK;
}

API(int) nvmlDeviceGetMaxMigDeviceCount(struct gpu *g, unsigned *count) { ENTER_GPU(g); *count = g->mig > 0 ? 7 : 0; return OK; }

API(int) nvmlDeviceGetMigDeviceHandleByIndex(struct gpu *g, unsigned index, struct gpu **device)
{
    ENTER_GPU(g);
    if ((int)index >= g->slices)
        return NOT_FOUND;
    *device = &slice;
    return OK;
}

API(int) nvmlDeviceGetGpuFabricInfoV(struct gpu *g, struct fabric *f)
{
    ENTER_GPU(g);
    f->status = OK;
    f->state = (unsigned char)g->fabric;
    return OK;
}

API(int) nvmlDeviceGetComputeMode(struct gpu *g, int *mode) { ENTER_GPU(g); *mode = g->mode; return OK; }
API(int) nvmlDeviceGetVirtualizationMode(struct gpu *g, int *mode) { ENTER_GPU(g); *mode = g->virtual; return OK; }

struct expiry { unsigned year; unsigned short month, day, hour, minute, second; unsigned char status; };
struct feature {
    unsigned code, state;
    char info[128], product[128];
    unsigned enabled;
    struct expiry expiry;
};
struct features { int supported; unsigned count; struct feature feature[3]; };

API(int) nvmlDeviceGetGridLicensableFeatures_v4(struct gpu *g, struct features *f)
{
    ENTER_GPU(g);
    memset(f, 0, sizeof *f);
    f->supported = f->count = 1;
    f->feature[0].state = f->feature[0].enabled = (unsigned)g->licensed;
    return OK;
}
