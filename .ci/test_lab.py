"""JupyterLab in a real browser: a reader's copy of the notebooks, from a clone and from an installed package.

In the clone the first tutorial is run to its end, its last figure is seen, and the clone is as it was.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import chromium, free_port  # noqa: E402
from site_config import copy_tree  # noqa: E402

TUTORIAL = 'tutorials/01_first_steps.ipynb'
SEEN = """drawn => {  // a stored picture is on the screen; cells out of sight are not on the page, so scroll up from the end until it is there
  const panel = document.querySelector('.jp-WindowedPanel-outer'), i = [...document.querySelectorAll('.jp-OutputArea-output img')].find(i => i.src.endsWith(drawn));
  if (!i) { panel.scrollTop = panel.scrollTop > 0 ? panel.scrollTop - panel.clientHeight / 2 : panel.scrollHeight; return false }
  i.scrollIntoView({block: 'center'});
  const box = i.getBoundingClientRect();
  return i.complete && i.naturalWidth > 100 && box.width > 100 && box.top > 0 && box.bottom < innerHeight }"""
LIMIT = 600  # seconds that a very busy machine may take for a step


def env(package, scratch):
    "Kernels see this package first, one thread each, and no settings of the user"
    return os.environ | {'PYTHONPATH': str(package), 'OMP_NUM_THREADS': '1', 'JUPYTER_CONFIG_DIR': f'{scratch}/config', 'JUPYTER_DATA_DIR': f'{scratch}/data', 'IPYTHONDIR': f'{scratch}/ipython', 'PYTHONDONTWRITEBYTECODE': '1'}


def cliff(*args, cwd, package, command=(sys.executable, '-c', 'from cliff_nb.cli import main; main()')):
    done = subprocess.run([*command, *args], cwd=cwd, env=env(package, cwd), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def end(server):
    "Ask the server and its kernels, which are in sessions of their own, to go; end those that stay"
    try: family = [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess: return
    server.terminate()
    _, left = psutil.wait_procs(family, timeout=20)
    for p in left: p.kill()
    psutil.wait_procs(left, timeout=20)


@contextmanager
def jupyter_lab(folder, package, scratch):
    "A server on the loopback: its address"
    port, log = free_port(), open(scratch / 'lab.log', 'w')
    server = psutil.Popen(
        [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.port_retries=0', '--IdentityProvider.token=',
         '--ServerApp.disable_check_xsrf=True', f'--LabApp.user_settings_dir={scratch}/settings', f'--LabApp.workspaces_dir={scratch}/workspaces',
         '--LabApp.news_url=', '--LabApp.extension_manager=readonly', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', str(folder)],
        cwd=folder, env=env(package, scratch), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + LIMIT
        while not answers(f'http://127.0.0.1:{port}/api'):
            assert server.poll() is None and time.monotonic() < deadline, (scratch / 'lab.log').read_text()
            time.sleep(.5)
        yield f'http://127.0.0.1:{port}'
    finally:
        end(server)
        log.close()


def answers(url):
    try: return urlopen(url, timeout=5).status == 200
    except OSError: return False


@contextmanager
def opened(browser, address, notebook):
    "A notebook in JupyterLab; its page is closed before the server goes, also when something fails"
    page = browser.new_page(viewport=dict(width=1400, height=1000))
    page.set_default_timeout(1000 * LIMIT)
    try:
        page.goto(f'{address}/lab/tree/{notebook}')
        page.wait_for_selector('.jp-NotebookPanel .jp-Cell')
        yield page
    finally:
        if os.environ.get('SHOTS'): page.screenshot(path=f"{os.environ['SHOTS']}/lab_{Path(notebook).stem}.png")
        page.close()


@pytest.fixture(scope='module')
def browser():
    with chromium() as b: yield b


def cells(path):
    "Of a saved notebook; the server writes in place, so one may find it half written"
    for _ in range(100):
        try: return json.loads(path.read_text(encoding='utf-8'))['cells']
        except json.JSONDecodeError: time.sleep(.1)
    raise AssertionError(f'{path.name} stays unreadable')


def outputs(path): return [o for c in cells(path) for o in c.get('outputs', [])]
def pictures(path): return [''.join(o['data']['image/png']).replace('\n', '') for o in outputs(path) if 'image/png' in o.get('data', {})]
def errors(path): return [f"{o['ename']}: {o['evalue']}" for o in outputs(path) if o['output_type'] == 'error']
def counts(path): return [c['execution_count'] for c in cells(path) if c['cell_type'] == 'code' and c['source']]


def blank(path):
    "Without outputs"
    nb = json.loads(path.read_text(encoding='utf-8'))
    for c in nb['cells']:
        if c['cell_type'] == 'code': c['outputs'] = []
    path.write_text(json.dumps(nb), encoding='utf-8')


def ready(address):
    "Whether the page is connected to a kernel that waits for work; before it is, running a cell asks which kernel is meant"
    try: kernels = json.load(urlopen(f'{address}/api/kernels', timeout=30))
    except OSError: return False  # the server answers 500 while a kernel is being started
    return any(k['connections'] and k['execution_state'] == 'idle' for k in kernels)


def run_all(page, address, path):
    "Every cell, to the end, and saved"
    deadline = time.monotonic() + LIMIT
    while not ready(address) and time.monotonic() < deadline: page.wait_for_timeout(500)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"], .jp-Toolbar-kernelStatus[data-status="idle"]')
    page.click('.lm-MenuBar-item:has-text("Run")')
    page.click('.lm-Menu-item:has-text("Run All Cells")')
    while time.monotonic() < deadline and None in counts(path) and not errors(path):  # cells out of sight have no prompt on the page: the file says
        page.wait_for_timeout(1000)
        if page.is_visible('.jp-Dialog .jp-mod-accept'): page.click('.jp-Dialog .jp-mod-accept')  # the kernel that it proposes
        page.keyboard.press('Control+s')
    assert not errors(path) and None not in counts(path)


def test_clone(browser, tmp_path):
    clone, git = tmp_path / 'clone', lambda *a: subprocess.run(['git', '-C', str(tmp_path / 'clone'), *a], check=True, capture_output=True, text=True).stdout
    copy_tree(clone)
    git('init', '-q'); git('add', '-A'); git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-qm', 'x')
    cliff('notebooks', 'cliff-notebooks', cwd=clone, package=clone)
    mine = clone / 'cliff-notebooks' / TUTORIAL
    figures = len(pictures(mine))
    blank(mine)  # what is seen afterwards was drawn just now
    with jupyter_lab(clone / 'cliff-notebooks', clone, tmp_path) as address, opened(browser, address, TUTORIAL) as page:
        run_all(page, address, mine)
        drawn = pictures(mine)
        assert len(drawn) == figures > 0
        page.wait_for_function(SEEN, arg=drawn[-1], polling=500)
    assert git('status', '--porcelain') == '', 'a reader changed the clone'


def test_installed(browser, tmp_path):
    "The installed package carries the notebooks: its own command copies them, and one opens and runs"
    copy_tree(tmp_path / 'tree')
    site = tmp_path / 'installed'
    subprocess.run([sys.executable, '-m', 'pip', '-q', 'install', '--no-deps', '--target', str(site), str(tmp_path / 'tree')], check=True)
    assert not (site / 'nbs').exists() and (site / 'cliff_nb/notebooks/index.ipynb').is_file()
    shutil.rmtree(tmp_path / 'tree')
    said = cliff('notebooks', 'mine', cwd=tmp_path, package=site, command=[site / 'bin/cliff'])
    assert said == 'wrote mine: open it with `jupyter lab mine`\n'
    index = tmp_path / 'mine/index.ipynb'
    blank(index)
    with jupyter_lab(tmp_path / 'mine', site, tmp_path) as address, opened(browser, address, 'index.ipynb') as page:
        page.wait_for_selector('.jp-RenderedMarkdown h1')
        assert re.match('cliff_nb', page.inner_text('.jp-RenderedMarkdown h1'))
        run_all(page, address, index)
