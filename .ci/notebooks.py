#!/usr/bin/env python
"""Run, publish and check the notebooks (from any folder, in the developers' environment):

    python .ci/notebooks.py run [NOTEBOOK...]   execute in place and store the outputs (default: every notebook)
    python .ci/notebooks.py readme              write README.md from nbs/index.ipynb
    python .ci/notebooks.py check               say what is out of step, exit 1 if anything is; changes nothing
"""
import argparse
import ast
import json
import os
import posixpath
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / 'nbs'
sys.dont_write_bytecode = True
sys.path.insert(0, str(NBS))
from conftest import SETTINGS, directives, set_kernel_env, skipped  # noqa: E402

LIB = SETTINGS['lib_name']
MAX_LINES, MAX_BYTES = 30, 600_000  # of an exported cell, of a notebook


def notebooks():
    "Every notebook that nbdev sees, in reading order"
    hidden = re.compile(r'(^|/)[._]')
    return sorted(p for p in NBS.rglob('*.ipynb') if not hidden.search(p.relative_to(NBS).as_posix()))


def source(cell): return ''.join(cell['source'])


def cleaned(text):
    "What `nbdev_clean` makes of a notebook's text"
    from execnb.nbio import nb2str
    from nbdev.clean import clean_nb
    nb = json.loads(text)
    clean_nb(nb)
    return nb2str(nb)


# ---- run ----

def execute(path, timeout):
    "Execute one notebook in a fresh kernel, in its own folder; replace the file only if every cell succeeded"
    import nbformat
    from nbclient import NotebookClient
    before = path.read_text(encoding='utf-8')
    nb = nbformat.reads(before, as_version=4)
    for cell in nb.cells:  # nbclient leaves tagged cells and their outputs alone; cleaning drops the tags
        if cell.cell_type == 'code' and skipped(cell.source): cell.metadata.tags = ['skip-execution']
    NotebookClient(nb, timeout=timeout, kernel_name='python3', record_timing=False, coalesce_streams=True,
                   resources={'metadata': {'path': str(path.parent)}}).execute()
    if path.read_text(encoding='utf-8') != before: raise RuntimeError('edited while it ran: left as it is, run it again')
    tmp = path.with_name(f'.{path.name}.tmp')
    tmp.write_text(cleaned(nbformat.writes(nb)), encoding='utf-8')
    os.replace(tmp, path)


def run(paths, timeout):
    from nbclient.exceptions import CellControlSignal, DeadKernelError
    set_kernel_env()
    failed = 0
    for path in [Path(p).resolve() for p in paths] or notebooks():
        start = time.time()
        try: execute(path, timeout)
        except (CellControlSignal, DeadKernelError, RuntimeError) as e:
            failed += 1
            print(f'{path.name}: FAILED, file unchanged\n{e}', flush=True)
        else: print(f'{path.name}: {time.time() - start:.1f} s', flush=True)
    return int(failed > 0)


# ---- readme ----

def relink(text):
    "Relative links and pictures, written for nbs/, as seen from the repository's top"
    def fix(m):
        target = m[2]
        if re.match(r'[a-z][a-z+.-]*:|[#/]', target, re.I): return m[0]
        return m[1] + posixpath.normpath(f'nbs/{target}') + m[3]
    text = re.sub(r'(\]\(<?)([^\s)>]+)([^)]*\))', fix, text)
    return re.sub(r'(<(?:img|a)\b[^>]*?\b(?:src|href)=")([^"]+)(")', fix, text)


def fenced(text, lang=''): return f'```{lang}\n{text.rstrip()}\n```'


def shown(output, where):
    "One output as Markdown"
    if output['output_type'] == 'stream': return fenced(''.join(output['text']))
    data = output.get('data', {})
    if 'text/markdown' in data: return relink(''.join(data['text/markdown']).strip())
    if any(k.startswith('image/') for k in data):
        raise SystemExit(f'{where} shows a picture: save it under nbs/images, commit it, and show it with ![](images/...)')
    return fenced(''.join(data.get('text/plain', '')))


def readme():
    "README.md's text: nbs/index.ipynb without hidden cells and directive lines, outputs as fenced blocks"
    parts = ['<!-- Written by .ci/notebooks.py from nbs/index.ipynb: edit that. -->']
    for i, cell in enumerate(json.loads((NBS / 'index.ipynb').read_text(encoding='utf-8'))['cells']):
        src, flags = source(cell), [' '.join(d) for d in directives(source(cell))]
        if 'hide' in flags or cell['cell_type'] == 'raw': continue
        if cell['cell_type'] == 'markdown':
            parts.append(relink(src))
            continue
        code = re.sub(r'^\s*#\s*\|.*\n?', '', src, flags=re.M).strip()
        if code and 'echo: false' not in flags: parts.append(fenced(code, 'python'))
        if 'output: false' not in flags: parts += [shown(o, f'index.ipynb cell {i}') for o in cell['outputs']]
    return '\n\n'.join(p for p in parts if p.strip()) + '\n'


# ---- check ----

def generated():
    "What nbdev makes from the notebooks and settings.ini as they are now, made in a throwaway folder: {path: text}"
    make = ('from nbdev.doclinks import nbdev_export; from nbdev.quarto import refresh_quarto_yml; '
            'nbdev_export.__wrapped__(); refresh_quarto_yml()')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        for p in [ROOT / 'settings.ini', *notebooks()]:
            to = tmp / p.relative_to(ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(p.read_bytes())
        subprocess.run([sys.executable, '-c', make], cwd=tmp, check=True)
        made = [*(tmp / LIB).rglob('*.py'), tmp / 'nbs/nbdev.yml']
        return {p.relative_to(tmp).as_posix(): p.read_text(encoding='utf-8') for p in made}


def sync_problems():
    "Files that are written by a tool and are not what it would write today"
    want = generated()
    if (NBS / 'index.ipynb').exists(): want['README.md'] = readme()
    for name, text in sorted(want.items()):
        path, maker = ROOT / name, 'python .ci/notebooks.py readme' if name == 'README.md' else 'nbdev_export'
        if name.endswith('nbdev.yml'): maker = "python -c 'from nbdev.quarto import *; refresh_quarto_yml()'"
        if not path.exists(): yield f'{name}: missing, run `{maker}` and add it'
        elif path.read_text(encoding='utf-8') != text: yield f'{name}: not what the notebooks say, run `{maker}`'
    for path in sorted((ROOT / LIB).rglob('*.py')):
        name = path.relative_to(ROOT).as_posix()
        if name not in want: yield f'{name}: no notebook makes it, delete it'


def own_imports(code):
    "The package's own modules that `code` imports"
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(filter(None, [LIB if node.level else '', node.module]))
            names = [base] + [f'{base}.{a.name}' for a in node.names]
        else: continue
        yield from {n.split('.')[1] for n in names if n.startswith(LIB + '.')}


def written(cell):
    "The text in a cell that a reader sees: its source and its outputs, pictures left out"
    yield source(cell)
    for out in cell.get('outputs', []):
        yield ''.join(out.get('text', ''))
        yield from (''.join(v) for k, v in out.get('data', {}).items() if k.startswith('text/'))


def notebook_problems():
    "What goes wrong in notebooks and can be seen without running them"
    modules, exported = {}, {}  # module -> its notebook's name, notebook's name -> its exported cells
    for path in notebooks():
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding='utf-8')
        if cleaned(text) != text: yield f'{name}: not clean, run `nbdev_clean`'
        if len(text.encode()) > MAX_BYTES: yield f'{name}: {len(text.encode()) // 1000} kB, at most {MAX_BYTES // 1000}'
        for i, cell in enumerate(json.loads(text)['cells']):
            where = f'{name} cell {i}'
            leak = next(filter(None, (re.search(r'(?<![\w.~-])/(tmp|root|home|work)/\S*', t) for t in written(cell))), None)
            if leak: yield f'{where}: path of one machine, {leak[0]}'
            if cell['cell_type'] != 'code': continue
            if any(o['output_type'] == 'error' for o in cell['outputs']): yield f'{where}: the stored output is an error'
            for d in directives(source(cell)):
                if d[0] == 'default_exp':
                    if d[1] in modules: yield f'{name}: default_exp {d[1]} is also that of {modules[d[1]]}'
                    modules.setdefault(d[1], name)
                if d[0] in ('export', 'exporti', 'exports'):
                    exported.setdefault(name, []).append(source(cell))
                    lines = [s for s in source(cell).splitlines() if s.strip() and not re.match(r'\s*#\s*\|', s)]
                    if len(lines) > MAX_LINES: yield f'{where}: {len(lines)} exported lines, at most {MAX_LINES}'
    number = {n: int(m[1]) for n in modules.values() if (m := re.search(r'/(\d+)\w*_[^/]*$', n))}
    for name, cells in exported.items():
        for other in sorted({o for code in cells for o in own_imports(code)} & modules.keys()):
            if number.get(modules[other], -1) >= number.get(name, 10**6):
                yield f'{name}: imports {other}, whose notebook comes later ({modules[other]})'


def check():
    problems = [*notebook_problems(), *sync_problems()]
    print('\n'.join(problems) or f'{len(notebooks())} notebooks: clean, and in step with {LIB}/ and README.md')
    return int(bool(problems))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    sub = commands.add_parser('run', help='execute in place and store the outputs')
    sub.add_argument('paths', nargs='*', metavar='NOTEBOOK')
    sub.add_argument('--timeout', type=int, default=600, help='seconds a cell may take')
    commands.add_parser('readme', help='write README.md from nbs/index.ipynb')
    commands.add_parser('check', help='say what is out of step')
    args = parser.parse_args()
    if args.command == 'run': sys.exit(run(args.paths, args.timeout))
    if args.command == 'readme': (ROOT / 'README.md').write_text(readme(), encoding='utf-8')
    if args.command == 'check': sys.exit(check())
