"""The wire: frames, messages, schemas and the rules of a session, without any input or output.

What lives here takes bytes or values and gives bytes or values. What must never come here: Twisted, a
database, a clock, a socket, or knowledge of what a message is *for*. Server and SDK speak through this
package and through nothing else, so both ends hold the same opinion of what is valid.
"""
