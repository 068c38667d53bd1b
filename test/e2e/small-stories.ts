/** A story in which every kind of offer stands: locked with a reason, hidden, once, timed, a draw, two endings. */
export const threeDoors = (id: string): string => `fabula: 1
id: ${id}
title: Three Doors
start: hall
variables:
  key: { type: bool, public: true, label: A key }
  bruises: { type: int, min: 0, max: 9 }
  die: { type: int, min: 1, max: 6, default: 1, public: true, label: Die }
endings:
  out: { title: Out }
  late: { title: Too late }
passages:
  hall:
    title: The hall
    text: Three doors.
    choices:
      - { id: take, label: Take the key, repeat: once, effects: [{ set: key, to: 'true' }, { add: bruises, by: 1 }], target: hall }
      - { id: gate, label: Open the gate, enabledWhen: key, reason: It is locked., target: yard }
      - { id: trapdoor, label: Lift the trapdoor, visibleWhen: key && bruises > 0, target: cellar }
      - { id: wait, label: Wait, target: hall }
  cellar:
    title: The cellar
    text: The air is bad.
    choices:
      - { id: climb, label: Climb back, target: hall }
      - { id: faint, label: Faint, kind: timed, timeoutMs: 1000, target: { end: late } }
  yard:
    title: The yard
    text: "The die shows {{die}}."
    effects: [{ draw: die, min: 1, max: 6 }]
    choices:
      - { id: leave, label: Leave, target: { end: out } }
      - { id: back, label: Back inside, target: hall }
`;

/** Publishing it must be refused: its one choice leads nowhere. */
export const brokenStory = (id: string): string => `fabula: 1
id: ${id}
title: Broken
start: here
passages:
  here:
    text: Here.
    choices:
      - { id: go, label: Go, target: nowhere }
`;
