"""The site as data: what `site.yml` says, whether it can be true, and what each host must therefore be.

Read from the bottom up; each module imports only those below it:

- `load`      finds and reads the site file, reports every error in it together. Alone in doing I/O
- `plan`      a site → one plan per host, with every derived value computed once
- `rules`     what must hold between the parts of a site
- `model`     what each part must be by itself
- `document`  YAML text → plain data, and the line that each part of it stands on
- `problem`   one error, and the report of them all

Nothing here imports pyinfra, connects anywhere or depends on what is on a host.
"""
