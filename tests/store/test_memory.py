from twisted.trial import unittest
from zope.interface.verify import verifyClass
from crawlsock.store.interface import IStore
from crawlsock.testing import MemoryStore
class T(unittest.TestCase):
    def test(self):
        verifyClass(IStore, MemoryStore)
