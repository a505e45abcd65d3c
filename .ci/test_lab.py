"""JupyterLab in a real browser: a reader's copy of the notebooks, from a clone and from an installed package.

In the clone the first tutorial is run to its end, its last figure is seen, and the clone is as it was.
"""
import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import chromium  # noqa: E402
from site_config import copy_tree  # noqa: E402

TUTORIAL = 'tutorials/01_first_steps.ipynb'
LIMIT = 600_000  # milliseconds that a busy machine may take for a step


def env(package, scratch):
    "Kernels see this package first, one thread each, and no settings of the user"
    return os.environ | {'PYTHONPATH': str(package), 'OMP_NUM_THREADS': '1', 'JUPYTER_CONFIG_DIR': f'{scratch}/config', 'JUPYTER_DATA_DIR': f'{scratch}/data', 'IPYTHONDIR': f'{scratch}/ipython', 'PYTHONDONTWRITEBYTECODE': '1'}


def cliff(*args, cwd, package):
    done = subprocess.run([sys.executable, '-c', 'from cliff_nb.cli import main; main()', *args], cwd=cwd, env=env(package, cwd), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def jupyter_lab(folder, package, scratch):
    "A server on the loopback: its address"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    log = open(scratch / 'lab.log', 'w')
    server = subprocess.Popen(
        [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.port_retries=0', '--IdentityProvider.token=',
         '--ServerApp.disable_check_xsrf=True', f'--LabApp.user_settings_dir={scratch}/settings', f'--LabApp.workspaces_dir={scratch}/workspaces',
         '--LabApp.news_url=', '--LabApp.extension_manager=readonly', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', str(folder)],
        cwd=folder, env=env(package, scratch), stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert server.poll() is None, (scratch / 'lab.log').read_text()
            try: urlopen(f'http://127.0.0.1:{port}/api', timeout=5); break
            except OSError: time.sleep(.5)
        yield f'http://127.0.0.1:{port}'
    finally:
        server.terminate()
        server.wait(60)
        log.close()


def opened(browser, address, notebook):
    page = browser.new_page(viewport=dict(width=1400, height=1000))
    page.set_default_timeout(LIMIT)
    page.goto(f'{address}/lab/tree/{notebook}')
    page.wait_for_selector('.jp-NotebookPanel .jp-Cell')
    return page


def run_all(page):
    "Every cell, to the end; the kernel is idle when the last one has a number"
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"], .jp-Toolbar-kernelStatus[data-status="idle"]')
    page.click('.lm-MenuBar-item:has-text("Run")')
    page.click('.lm-Menu-item:has-text("Run All Cells")')


@pytest.fixture(scope='module')
def browser():
    with chromium() as b: yield b


def outputs(path): return [o for c in json.loads(path.read_text(encoding='utf-8'))['cells'] for o in c.get('outputs', [])]

def errors(path): return [f"{o['ename']}: {o['evalue']}" for o in outputs(path) if o['output_type'] == 'error']
def counts(path): return [c['execution_count'] for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code' and c['source']]


def test_clone(browser, tmp_path):
    clone, git = tmp_path / 'clone', lambda *a: subprocess.run(['git', '-C', str(tmp_path / 'clone'), *a], check=True, capture_output=True, text=True).stdout
    copy_tree(clone)
    git('init', '-q'); git('add', '-A'); git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-qm', 'x')
    cliff('notebooks', 'cliff-notebooks', cwd=clone, package=clone)
    mine = clone / 'cliff-notebooks' / TUTORIAL
    figures = sum('image/png' in o.get('data', {}) for o in outputs(mine))
    blank = json.loads(mine.read_text())  # what is seen afterwards was drawn just now
    for c in blank['cells']:
        if c['cell_type'] == 'code': c['outputs'] = []
    mine.write_text(json.dumps(blank))
    with jupyter_lab(clone / 'cliff-notebooks', clone, tmp_path) as address:
        page = opened(browser, address, TUTORIAL)
        run_all(page)
        deadline = time.time() + LIMIT / 1000
        while time.time() < deadline and None in counts(mine) and not errors(mine):  # cells out of sight have no prompt on the page: the file says
            page.wait_for_timeout(2000)
            page.keyboard.press('Control+s')
        assert not errors(mine) and None not in counts(mine)
        assert sum('image/png' in o.get('data', {}) for o in outputs(mine)) == figures > 0
        page.keyboard.press('Escape')
        page.keyboard.press('Control+End')
        page.wait_for_timeout(1000)
        last = page.locator('.jp-OutputArea-output img').last
        last.scroll_into_view_if_needed()
        assert last.evaluate('i => i.complete && i.naturalWidth > 100')
        if os.environ.get('SHOTS'): page.screenshot(path=f"{os.environ['SHOTS']}/lab.png")
        page.close()
    assert git('status', '--porcelain') == '', 'a reader changed the clone'


def test_installed(browser, tmp_path):
    "The wheel carries the notebooks: copied from it, one opens"
    copy_tree(tmp_path / 'tree')
    subprocess.run([sys.executable, '-m', 'pip', '-q', 'wheel', '--no-deps', '-w', str(tmp_path), str(tmp_path / 'tree')], check=True)
    wheel, site = next(tmp_path.glob('*.whl')), tmp_path / 'installed'
    zipfile.ZipFile(wheel).extractall(site)
    assert not list(site.glob('nbs')) and (site / 'cliff_nb/notebooks/index.ipynb').is_file()
    said = cliff('notebooks', 'mine', cwd=tmp_path, package=site)
    assert said == 'wrote mine: open it with `jupyter lab mine`\n'
    with jupyter_lab(tmp_path / 'mine', site, tmp_path) as address:
        page = opened(browser, address, 'index.ipynb')
        page.wait_for_selector('.jp-RenderedMarkdown h1')
        assert re.match('cliff_nb', page.inner_text('.jp-RenderedMarkdown h1'))
        page.close()
