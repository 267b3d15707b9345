"""How the site is now: each host's report, all of them as one document, and that in words or as a page.

`gather` asks the hosts; `model` makes the document, `text` its words and `page` its HTML: those three are pure.
"""
