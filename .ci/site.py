#!/usr/bin/env python
"""The site, made without Quarto's download (from any folder, in the developers' environment):

    python .ci/site.py lint           read every markdown cell as pandoc, Quarto's reader, does; exit 1 if text is left raw
    python .ci/site.py pages FOLDER   nbdev's processing of nbs/ into a Quarto project: what `quarto render FOLDER` publishes
    python .ci/site.py build FOLDER   the pages above, rendered by smalldocs, Quarto's stand-in, into FOLDER/site
"""
import argparse
import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from notebooks import notebooks  # noqa: E402
from site_config import LIB, NBS, ROOT, SOURCE, copy_tree  # noqa: E402


def source(cell): return ''.join(cell['source'])


# ---- lint ----

LEFT = {  # what stands in the text of a paragraph when pandoc did not read it as its author meant
    r'^:::': 'fence left as text', r'(^|\n)#{1,6} ': 'heading without a blank line above',
    r'\n([-*+]|\d+[.)]) ': 'list without a blank line above', r'\$[^$\n]+\$|\$\$': 'maths left as text',
    r'\\(begin|end|frac|sum|mathrm|text)\b': 'TeX left as text', r'\n\|.*\|': 'table left as text', r'^`{3}': 'code left as text'}
HOUSE = {  # what pandoc reads but Jupyter, GitHub or Quarto do not read alike
    r'\{#(eq|fig|tbl|sec)-': 'cross-reference label', r'@(eq|fig|tbl|sec)-\w': 'cross-reference', r'^```\s*\{?mermaid': 'Mermaid',
    r'(?m)^.*\S.*\$\$|\$\$.*\S.*$': '$$ must be alone on its lines'}


def pandoc(text, *args):
    import pypandoc
    out = subprocess.run([pypandoc.get_pandoc_path(), '-f', 'markdown', *args], input=text, capture_output=True, text=True)
    if out.returncode: raise RuntimeError(out.stderr)
    return out


def plain(x):
    "The text of pandoc's inlines, without code and maths"
    if isinstance(x, list): return ''.join(map(plain, x))
    if not isinstance(x, dict): return ''
    fixed = {'Space': ' ', 'SoftBreak': '\n', 'LineBreak': '\n', 'Math': '', 'Code': '', 'RawInline': ''}
    return x['c'] if x.get('t') == 'Str' else fixed.get(x.get('t'), plain(x.get('c', '')))


def paragraphs(x):
    "The text of every paragraph and heading in pandoc's tree"
    if isinstance(x, dict):
        if x.get('t') in ('Para', 'Plain'): yield plain(x['c'])
        x = list(x.values())
    if isinstance(x, list):
        for y in x: yield from paragraphs(y)


def outside_code(text):
    "Markdown without fenced blocks and inline code"
    return re.sub(r'`[^`\n]+`', '', re.sub(r'(?ms)^(```|~~~).*?^\1\s*$', '', text))


def misread(text):
    "What pandoc makes of Markdown, where it is not what was meant"
    tree = pandoc(text, '-t', 'json')
    page = pandoc(text, '-t', 'html', '--mathml') if '$' in text else tree
    yield from sorted(set(re.findall(r'\[WARNING\] (.*)', tree.stderr + page.stderr)))
    for p in paragraphs(json.loads(tree.stdout)['blocks']):
        yield from (f'{name}: {p[:60]!r}' for rule, name in LEFT.items() if re.search(rule, p))


def against_house(text):
    "What not all readers of Markdown read alike"
    text = outside_code(text)
    for rule, name in HOUSE.items():
        if m := re.search(rule, text): yield f'{name}: {m[0][:60]!r}'
    for alt, target in re.findall(r'!\[([^\]]*)\]\(([^)\s]+)', text):
        if not alt.strip(): yield f'picture without alt text: {target}'


def lint_file(path):
    "What is wrong in a notebook or a Markdown file; cells are read together, as Quarto does, and one by one to say which is wrong"
    text = path.read_text(encoding='utf-8')
    cells = {'': text} if path.suffix == '.md' else {
        f' cell {i}': source(c) for i, c in enumerate(json.loads(text)['cells']) if c['cell_type'] == 'markdown'}
    for i, c in cells.items(): yield from (f'{path.name}{i}: {m}' for m in against_house(c))
    if list(misread('\n\n'.join(cells.values()))):
        one_by_one = [f'{path.name}{i}: {m}' for i, c in cells.items() for m in misread(c)]
        yield from one_by_one or [f'{path.name}: cells are read differently together: is a fence left open?']


def lint(paths):
    from concurrent.futures import ThreadPoolExecutor
    hidden = re.compile(r'(^|/)[._]')
    files = [Path(p) for p in paths] or sorted(
        p for p in NBS.rglob('*') if p.suffix in ('.ipynb', '.md') and not hidden.search(p.relative_to(NBS).as_posix()))
    with ThreadPoolExecutor(2) as pool: bad = [m for ms in pool.map(lambda p: list(lint_file(p)), files) for m in ms]
    print('\n'.join(bad) or f'{len(files)} pages: pandoc reads them as Jupyter does')
    return int(bool(bad))


# ---- pages ----

def lines_of():
    "{symbol: (file, line)} of everything in the package's index"
    from importlib import import_module
    where = {}
    for module, symbols in import_module(f'{LIB}._modidx').d['syms'].items():
        file = module.replace('.', '/') + '.py'
        for node in ast.parse((ROOT / file).read_text(encoding='utf-8')).body:
            if not hasattr(node, 'name'): continue
            inner = node.body if isinstance(node, ast.ClassDef) else []
            for n, name in [(node, node.name), *((m, f'{node.name}.{m.name}') for m in inner if hasattr(m, 'name'))]:
                if f'{module}.{name}' in symbols: where[f'{module}.{name}'] = file, n.lineno
    return where


def defined(code):
    "Names of the functions and classes that a cell defines, with those of the methods"
    try: tree = ast.parse(code)
    except SyntaxError: return []
    tops = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return [[n.name, *(f'{n.name}.{m.name}' for m in getattr(n, 'body', []) if isinstance(n, ast.ClassDef) and hasattr(m, 'name'))] for n in tops]


def signpost(names, module, where, taken):
    "Anchors that links to symbols jump to, and the link to the file: the line above a definition"
    known = [k for group in names if (k := [n for n in group if f'{module}.{n}' in where])]
    if not known: return None
    fresh = [n for n in dict.fromkeys(n.lower() for g in known for n in g) if n not in taken]  # mcc and MCC are one
    taken.update(fresh)
    anchors = ''.join(f'<span id="{html.escape(n)}"></span>' for n in fresh)
    links = ' '.join('<a href="{}{}#L{}">{}</a>'.format(SOURCE, *where[f'{module}.{g[0]}'], g[0]) for g in known)
    text = f'<div class="source-link">{anchors}source: {links}</div>'
    return dict(cell_type='markdown', id=f'src-{known[0][0].lower()}'.replace('_', '-')[:64], metadata={}, source=[text])


def slugs(cells):
    "The anchors that headings get by themselves"
    heads = re.findall(r'(?m)^#{2,6} (.+)$', '\n'.join(source(c) for c in cells if c['cell_type'] == 'markdown'))
    return {re.sub(r'[\s]+', '-', re.sub(r'[^\w\s.-]', '', h).strip().lower()) for h in heads}


def own_ids(cell, number):
    "Tables styled by pandas carry ids; where two tables of a page have the same, the styles of one colour the other"
    for k, out in enumerate(cell.get('outputs', [])):
        if 'text/html' in (data := out.get('data', {})):
            data['text/html'] = re.sub(r'(?<=[#"\s])T_(\w+?)(?=["_\s])', rf'T_{number}_{k}_\1', ''.join(data['text/html']))


def dress(path, where, pages):
    "Add the signposts to a processed notebook, and drop the cells that processing has emptied"
    nb = json.loads(path.read_text(encoding='utf-8'))
    origin = NBS / path.relative_to(pages)
    raw = json.loads(origin.read_text(encoding='utf-8'))['cells'] if origin.exists() else []
    exp = next((m[1] for c in raw if (m := re.match(r'#\|\s*default_exp (\S+)', source(c)))), None)
    cells, taken = [], slugs(nb['cells'])
    for n, c in enumerate(nb['cells']):
        c['source'] = source(c)
        if c['cell_type'] == 'code' and not c['source'].strip(): continue
        if c['cell_type'] == 'code': own_ids(c, n)
        if exp and c['cell_type'] == 'code' and (post := signpost(defined(c['source']), f'{LIB}.{exp}', where, taken)): cells.append(post)
        cells.append(c)
    nb['cells'] = cells
    path.write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')


def pages(out):
    "nbdev's processing, in a copy of the tree (nbdev passes over folders that begin with a dot or _); then what it leaves to be done"
    out = Path(out).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    make = 'from nbdev.quarto import refresh_quarto_yml; from nbdev.serve import proc_nbs; refresh_quarto_yml(); proc_nbs(n_workers=2)'
    env = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}
    with tempfile.TemporaryDirectory() as tree:
        copy_tree(Path(tree))
        subprocess.run([sys.executable, '-c', make], cwd=tree, check=True, env=env)
        shutil.move(Path(tree) / '_proc', out / 'pages')
    lost = [n for p in notebooks() if not (out / 'pages' / (n := p.relative_to(NBS))).exists()]
    if lost: raise SystemExit(f'not processed: {", ".join(map(str, lost))}')
    where = lines_of()
    for junk in ('conftest', 'conftest.py', 'pytest.ini', 'nbval.cfg'): (out / 'pages' / junk).unlink(missing_ok=True)
    for path in (out / 'pages').rglob('*.ipynb'): dress(path, where, out / 'pages')
    return out / 'pages'


# ---- build ----

QUARTO_ONLY = ('html-math-method', 'code-tools', 'respect-user-color-scheme')  # keys that smalldocs does not know


def listed(x):
    "Every page that a part of _quarto.yml names"
    if isinstance(x, dict): x = [v for k, v in x.items() if k in ('contents', 'href', 'left', 'right', 'sidebar', 'navbar', 'website')]
    if isinstance(x, list):
        for y in x: yield from listed(y)
    elif isinstance(x, str) and re.fullmatch(r'[\w/.-]+\.(ipynb|md|qmd)', x): yield x


def front(path):
    "A page's front matter, and the cell that holds it"
    import yaml
    nb = json.loads(path.read_text(encoding='utf-8'))
    cell = next((c for c in nb['cells'] if c['cell_type'] == 'raw' and source(c).startswith('---')), None)
    return nb, cell, yaml.safe_load(source(cell).strip().strip('-')) if cell else {}


def stage(src, dst):
    "For smalldocs: each notebook named as its page will be (Quarto reads output-file), links and _quarto.yml with it"
    import posixpath
    import yaml
    shutil.copytree(src, dst)
    names = {}
    for p in sorted(dst.rglob('*.ipynb')):
        nb, cell, meta = front(p)
        old = p.relative_to(dst).as_posix()
        to = meta.pop('output-file', p.with_suffix('.html').name)
        names[old] = p.with_name(to).with_suffix('.ipynb').relative_to(dst).as_posix()
        if cell: cell['source'] = '---\n' + yaml.safe_dump(meta, allow_unicode=True, sort_keys=False) + '---\n'
        p.unlink()
        (dst / names[old]).write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')
    if len(set(names.values())) < len(names): raise SystemExit('two notebooks would have the same page')

    def renamed(link, folder):
        target, hash_, anchor = link.partition('#')
        new = names.get(posixpath.normpath(posixpath.join(folder, target)))
        return link if new is None else posixpath.relpath(new, folder or '.') + hash_ + anchor

    def relink(text, folder): return re.sub(r'(\]\()([^()\s]+\.ipynb[^()\s]*)', lambda m: m[1] + renamed(m[2], folder), text)

    for p in dst.rglob('*.md'):
        p.write_text(relink(p.read_text(encoding='utf-8'), p.parent.relative_to(dst).as_posix().strip('.')), encoding='utf-8')
    for old, new in names.items():
        nb, folder = json.loads((dst / new).read_text(encoding='utf-8')), posixpath.dirname(old)
        for c in nb['cells']:
            if c['cell_type'] == 'markdown': texts = [c]
            else: texts = [o['data'] for o in c.get('outputs', []) if 'text/markdown' in o.get('data', {})]
            for t in texts:
                key = 'source' if t is c else 'text/markdown'
                t[key] = relink(''.join(t[key]), folder)
        (dst / new).write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')

    conf = yaml.safe_load((dst / '_quarto.yml').read_text(encoding='utf-8'))
    missing = [p for p in listed(conf) if p not in names and not (dst / p).exists()]
    if missing: raise SystemExit(f'_quarto.yml lists pages that do not exist: {sorted(set(missing))}')
    for k in QUARTO_ONLY: conf['format']['html'].pop(k, None)
    text = yaml.safe_dump(conf, allow_unicode=True, sort_keys=False)
    for old, new in sorted(names.items(), key=lambda x: -len(x[0])): text = re.sub(rf'(?<![\w/-]){re.escape(old)}', new, text)
    (dst / '_quarto.yml').write_text(text, encoding='utf-8')
    return names


SPAN = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)


def with_sources(site, names):
    "The page's own link to its source, which smalldocs makes from the staged name"
    for p in site.rglob('*.html'):
        text = p.read_text(encoding='utf-8')
        for old, new in names.items(): text = text.replace(f'"{SOURCE}nbs/{new}"', f'"{SOURCE}nbs/{old}"')
        p.write_text(text, encoding='utf-8')


def with_mathml(site):
    "Maths as Quarto publishes it: by pandoc, as MathML, in one run for all pages; and without the script it then needs no more"
    files = {p: p.read_text(encoding='utf-8') for p in site.rglob('*.html')}
    found = [(d, html.unescape(t).strip()) for text in files.values() for d, t in SPAN.findall(text)]
    formulas = list(dict.fromkeys(found))
    if not formulas: return
    md = '\n\n'.join(f'<!-- {i} -->\n\n' + (f'$${t}$$' if d == 'display' else f'${t}$') for i, (d, t) in enumerate(formulas))
    out = pandoc(md, '-t', 'html', '--mathml', '--wrap=none').stdout
    parts = re.split(r'<!-- \d+ -->', out)[1:]
    made = {f: re.sub(r'^\s*<p>|</p>\s*$', '', p) for f, p in zip(formulas, parts, strict=True)}
    for p, text in files.items():
        text = SPAN.sub(lambda m: made[m[1], html.unescape(m[2]).strip()], text)
        p.write_text(re.sub(r'<script\b[^>]*(mathjax|katex)[^>]*>\s*</script>|<link\b[^>]*katex[^>]*>', '', text, flags=re.I), encoding='utf-8')


def build(out):
    out = Path(out).resolve()
    src = pages(out)
    names = stage(src, out / 'stage')
    done = subprocess.run(['smalldocs', 'render', '--strict', str(out / 'stage')], capture_output=True, text=True)
    print((done.stdout + done.stderr).strip())
    if done.returncode: raise SystemExit('smalldocs warns: see above')
    shutil.move(out / 'stage/_docs', out / 'site')
    shutil.rmtree(out / 'stage')
    with_mathml(out / 'site')
    with_sources(out / 'site', names)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('lint').add_argument('paths', nargs='*', metavar='NOTEBOOK')
    for name in ('pages', 'build'): commands.add_parser(name).add_argument('folder')
    args = parser.parse_args()
    if args.command == 'lint': sys.exit(lint(args.paths))
    if args.command == 'pages': pages(args.folder)
    if args.command == 'build': build(args.folder)
