// TensorFlow writes its first log lines while it is loaded, before it reads TF_CPP_MIN_LOG_LEVEL. This library is
// initialised first (linker flag -z initfirst) and hands the level over, so that those lines obey it too.
// SET_MIN_LOG_LEVEL is the linker's name of absl::SetMinLogLevel in the libtensorflow at hand.
#include <cstdlib>

extern "C" void SET_MIN_LOG_LEVEL(int) __attribute__((weak));

__attribute__((constructor)) static void obey_min_log_level() {
  const char *level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
  if (level && SET_MIN_LOG_LEVEL) SET_MIN_LOG_LEVEL(std::atoi(level));
}
