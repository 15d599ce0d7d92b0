/* What the stand-ins need of the system they are built for: how a function is exported, and how one waits for ever. */
#ifdef _WIN32
#define __USE_MINGW_ANSI_STDIO 1 /* %llu and %hhx, which the system's own C library does not know */
#include <windows.h>
#include <io.h>
#define API(type) __declspec(dllexport) type
#define pause() Sleep(INFINITE)
#define strtok_r strtok_s
#else
#include <unistd.h>
#define API(type) __attribute__((visibility("default"))) type
#endif
