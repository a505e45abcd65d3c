"Package metadata. Every value comes from settings.ini, so that pip and nbdev read the same file."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).resolve().parent
ini = ConfigParser(delimiters=['='])  # requirements hold ':' and '==', never ' = '
ini.read(root / 'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
name, readme = cfg['lib_name'], root / 'README.md'

STATUS = {'1': 'Planning', '2': 'Pre-Alpha', '3': 'Alpha', '4': 'Beta', '5': 'Production/Stable', '6': 'Mature'}


class with_notebooks(build_py):
    "Also puts the notebooks into the package, where `cliff notebooks` finds them. In an editable install it finds the clone's."

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False): return
        for file in sorted((root / 'nbs').rglob('*')):
            path = file.relative_to(root / 'nbs')
            if file.is_symlink() or not file.is_file() or any(p.startswith(('.', '_')) or p.endswith('.work') for p in path.parts): continue
            to = Path(self.build_lib, name, 'notebooks', path)
            self.mkpath(str(to.parent))
            self.copy_file(str(file), str(to), preserve_mode=False)


setup(
    name=name,
    version=cfg['version'],
    description=cfg['description'],
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else cfg['description'],
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    license={'apache2': 'Apache-2.0'}[cfg['license']],
    keywords=cfg['keywords'].split(),
    url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    classifiers=[
        f"Development Status :: {cfg['status']} - {STATUS[cfg['status']]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        *(f'Programming Language :: Python :: {v}' for v in cfg['python_versions'].split()),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=' + cfg['min_python'],
    packages=find_packages(include=[name, f'{name}.*']),
    install_requires=cfg['requirements'].split(),
    extras_require={'dev': cfg['dev_requirements'].split()},
    entry_points={'nbdev': [f'{name}={name}._modidx:d'], 'console_scripts': cfg['console_scripts'].split()},
    cmdclass={'build_py': with_notebooks},
    zip_safe=False,
)
