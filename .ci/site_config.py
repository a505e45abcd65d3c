"What the site's builder and its checks read from settings.ini"
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
