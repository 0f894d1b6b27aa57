"""Hold every store to the same promises, claim by claim.

Each module here has one test case class that is not run by itself: a store's own test module derives from
it, together with a class that says how to make the store and how time passes for it (`base.StoreContract`).
Nothing here may know which store it is talking to, and no test looks at the wall clock: time passes by
`advance` alone.
"""
