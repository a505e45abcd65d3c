"What the site's builder and its checks read from settings.ini"
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / 'nbs'
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT), str(NBS)]
from conftest import SETTINGS  # noqa: E402

LIB = SETTINGS['lib_name']
BASE = SETTINGS['doc_host'] + SETTINGS['doc_baseurl']  # where the site is published
SOURCE = f"{SETTINGS['git_url']}/blob/{SETTINGS['branch']}/"  # where a file of the repository is read


def copy_tree(to):
    "What git tracks or would track, so that nothing is made in the checkout"
    names = subprocess.run(['git', 'ls-files', '-coz', '--exclude-standard'], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split('\0')):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name, follow_symlinks=False)
