"""vLLM servers as a scorer: what they serve is found out, their answers are read strictly, their failures are survived.

Read in this order: ``wire`` (calls and their errors), ``reading`` with ``decode``, ``head`` and ``permutation`` (the
ways to ask for label values), ``discovery`` (which of them a server answers), ``replica``, ``members`` and
``upstreams`` (many servers as one), ``scorer`` (the engine's contract over all of it). ``arguments`` and
``export_head`` say how the servers are started.
"""
