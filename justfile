# The recipes of every project of whet's, on the sources here: just train name=garden model=micro
set allow-duplicate-variables
set allow-duplicate-recipes

import 'templates/justfile'

whet := "bun " + quote(justfile_directory() / "src/main.ts")

[private]
default:
    @just --list --justfile "{{ justfile() }}"
