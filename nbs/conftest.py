"""The bridge that lets `pytest nbs` (nbval) run notebooks kept by nbdev: every cell runs, every stored output is compared.

.ci/notebooks.py uses the same three functions, so that running, testing and checking agree on what a cell is.
"""
import os
import re
from configparser import ConfigParser
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_ini = ConfigParser(delimiters=['='])
_ini.read(ROOT / 'settings.ini', encoding='utf-8')
SETTINGS = _ini['DEFAULT']


def set_kernel_env():
    "What kernels inherit: one thread each (two workers share the cores), inline figures, and this checkout's package."
    os.environ['OMP_NUM_THREADS'] = '1'
    os.environ.pop('MPLBACKEND', None)
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))


def directives(source):
    "The nbdev directives that a cell starts with: '#| hide\\n#| eval: false\\n...' -> [['hide'], ['eval:', 'false']]"
    head = takewhile(re.compile(r'\s*(#\s*\||%%\w|$)').match, source.splitlines())
    found = (re.match(r'\s*#\s*\|(.*)', line) for line in head)
    parts = (m[1].strip().removesuffix(':').replace(':', ': ').split() for m in found if m)
    return [p for p in parts if p]


def skipped(source):
    "Whether `nbdev_test` skips a cell: `#| eval: false`, one of the tst_flags, or a call of nbdev_export."
    flags = SETTINGS['tst_flags'].split()
    return 'nbdev_export(' in source or any(
        d[0] in flags or (d[0] == 'eval:' and d[1].lower() == 'false') for d in directives(source))


def pytest_configure(config):
    set_kernel_env()
    config.option.nbval_sanitize_with = str(Path(__file__).with_name('nbval.cfg'))  # whatever the working folder


def pytest_collection_modifyitems(items):
    for item in items:
        if not hasattr(item, 'cell'): continue
        if item.cell.execution_count is None: item.cell.execution_count = 0  # nbdev_clean nulls it, nbval then says "unrun"
        if skipped(item.cell.source): item.options['skip'] = True
