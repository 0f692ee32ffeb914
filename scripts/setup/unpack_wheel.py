"""Takes some files out of a wheel: unpack_wheel.py WHEEL FOLDER PREFIX... (a prefix ends with / or names one file)."""

import os
import shutil
import sys
import zipfile

wheel, folder, prefixes = sys.argv[1], os.path.realpath(sys.argv[2]), tuple(sys.argv[3:])
with zipfile.ZipFile(wheel) as archive:
    wanted = [entry for entry in archive.infolist() if entry.filename.startswith(prefixes) and not entry.is_dir()]
    for prefix in prefixes:
        if not any(entry.filename.startswith(prefix) for entry in wanted):
            sys.exit(f"{os.path.basename(wheel)}: nothing named {prefix} inside")
    for entry in wanted:
        target = os.path.realpath(os.path.join(folder, entry.filename))
        if not target.startswith(folder + os.sep):
            sys.exit(f"{os.path.basename(wheel)}: {entry.filename} points out of the folder")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(entry) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
print(f"{len(wanted)} files, {sum(entry.file_size for entry in wanted) / 1e6:.0f} MB")
