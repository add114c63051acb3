"""Patterns of text that addresses a language model, chosen to be rare in manuals and runbooks.

Matched against `rag.parsing.scan.normal(text)`: lower case, no emphasis marks, one line.
"""

import re

_EARLIER = (
    r"(?:(?:this|that|these|it)(?:,| and) )?"
    r"(?:(?:all|any|every|the|your|these|those|of|my|our|its|each|other|safety)\s+){0,4}"
    r"(?:previous|prior|above|earlier|preceding|foregoing|existing|system|initial|original|former)"
    r"(?:ly)?\s+(?:[\w-]+\s+){0,2}?"
    r"(?:instruction|prompt|rule|direction|guideline|context|message|command|polic|constraint"
    r"|restriction|training)"
)
_MODEL = (
    r"(?:(?:ai|language|chat)[ -]?(?:assistant|model|bot|agent)?|llm|assistant|chatbot|chat bot)"
)
_LEAK = r"(?:reveal|print|repeat|output|show|disclose|leak|display|send|quote|recite|give me)"

INSTRUCTIONS = re.compile(
    "|".join(
        (
            rf"\b(?:ignor\w*|disregard\w*|forget|overrid\w*|bypass|neglect)\s+{_EARLIER}",
            r"\b(?:ignore|disregard|forget) (?:everything|anything|all|what)\b[^.]{0,30}"
            r"\b(?:above|before|told|said|instruct)",
            r"\byou are (?:now|no longer) (?:an?|the|my|in|acting|playing|bound|dan)\b[^.]{0,60}"
            r"\b(?:assistant|ai|model|bot|agent|mode|persona|admin\w*|root|unrestricted|rules?"
            r"|hacker|pirate|dan|character|bound)\b",
            r"\b(?:system|hidden|initial|developer) prompt\b",
            rf"\b{_LEAK}\b[^.]{{0,40}}\b(?:your|the (?:system|hidden|initial|secret))\s+"
            r"(?:[\w-]+\s+){0,2}?(?:prompt|instructions|system message|rules)\b",
            r"\b(?:call|invoke|trigger|use|execute|run) (?:the|your|this|a) (?:[\w.-]+ ){0,2}?"
            r"(?:tool|function)s?\b(?= (?:[\w.]+ ){0,3}?(?:with|named|to approve|to propose|to set"
            r"|now|immediately)|[ :]*[\[{(])",
            r"\bcall (?:the|your) (?:[\w.-]+ )?tools?\b",
            r"\b(?:tool|function)_?calls?\b\s*[\":=({\[]",
            rf"\b(?:the|this|any|every|dear|attention|hey|you,? the) {_MODEL}"
            r" (?:must|should|shall|has to|needs? to|is (?:now )?(?:required|instructed|allowed"
            r"|permitted|ordered)|reading this)\b",
            rf"\b(?:instructions?|notes?|messages?|orders?|commands?|directives?) (?:to|for)"
            rf" (?:the|any|all|every|an?)?\s?(?:{_MODEL}|model)s?\b",
            rf"\b(?:if you are|when you are|since you are|as) an? (?:{_MODEL})\b(?! (?:server|chip"
            r"|platform|cluster|workload|inference))",
            r"\b(?:do not|don.?t|never|without) (?:tell|inform|mention|alert|notify|warn|telling"
            r"|informing|alerting|notifying)\w*(?: (?:this|that|it|about|anything|of|to)){0,3}"
            r" (?:the |any |your )?(?:user|operator|human|supervisor|reader|engineer)s?\b",
            r"\b(?:respond|reply|answer) (?:only|exactly|always|solely)\b",
            r"\b(?:always|only|from now on,?) (?:respond|reply|answer)\b",
            r"\b(?:respond|reply|answer) to (?:every|all|any) (?:user )?questions?\b",
            r"\b(?:from now on|henceforth),? (?:you|the assistant|respond|act|speak|every)\b",
            r"\bnew (?:system )?(?:instruction|directive|objective|task|prompt|message)s? ?:",
            r"\b(?:end|begin|start) of (?:system|prompt|instructions|context|sources|documents?"
            r" text|untrusted)\b",
            r"\bpretend (?:to be|you are|that you|you have)\b",
            r"\b(?:jailbr[eo]a?k\w*|dan mode|developer mode (?:is )?(?:on|enabled)"
            r"|god mode|do anything now)\b",
            r"\bauto-?approve (?:the|this|all|any|every)\b",
            r"\bapprove (?:the |this |all |any |every )?(?:pending |open )?"
            r"(?:proposal|action)s?\b[^.]{0,40}\b(?:immediately|automatically|now|without"
            r"|yourself)\b",
            r"\b(?:propose|submit|create) (?:an?|the) (?:action|proposal) (?:to|that|with|for)\b"
            r"[^.]{0,60}\b(?:immediately|now|without)\b",
            r"\byour (?:real|true|new|actual|only) (?:task|job|goal|purpose|instruction|role)s?\b"
            r" (?:is|are)\b",
            r"\bignorier\w* (?:alle|die|s.mtliche)?\s?(?:vorherigen|bisherigen|obigen|fr.heren)"
            r" (?:anweisung|befehl|regel)",
            r"\bignore[zr]? (?:toutes )?les (?:instructions|consignes) (?:pr.c.dentes|ci-dessus)",
            r"\bignora (?:todas )?(?:las|le) (?:instrucciones|istruzioni) (?:anteriores|precedenti)",
        )
    )
)

TEMPLATE_TOKENS = re.compile(
    r"<[|｜][\w ▁-]{2,30}[|｜]>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>"
    r"|</?(?:tool_call|tool_response|function_call|function_calls|system_prompt|assistant)>"
    r"|</(?:source|sources|context|passage|passages|documents)\s*>"
    r"|^\s*#{2,3} ?(?:Instruction|System|Human|Assistant|Response) ?:\s*$"
    r"|^\s*(?:Human|Assistant|System|SYSTEM|ASSISTANT) ?: \S",
    re.MULTILINE,
)

# A run that could hide a sentence; `scan` decodes it before it says so.
BLOB = re.compile(r"(?<![\w+/=-])(?:[A-Za-z0-9+/]{40,20000}={0,2})(?![\w+/=-])")

# "i g n o r e", "i.g.n.o.r.e"
SPACED = re.compile(r"\b(?:[a-z][ .\-]){4,40}[a-z]\b")

# Letters of other scripts that look like Latin ones.
CONFUSABLES = str.maketrans(
    "асеорхуіјѕһԁԛԝӏαενικορτυχγ",
    "aceopxyijshdqwlaevikoptuxy",
)
